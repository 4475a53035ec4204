"""What may be secret in an address: found in whatever form it is typed, and shown in none."""

from __future__ import annotations

import pytest

from pipeline.errors import ConfigError
from pipeline.ray_session import reason
from pipeline.redaction import redacted
from pipeline.sources import find_sources
from pipeline.storage import checked_url, local_path

# Every secret is a word in capitals that ends with HUSH.
WITH_SECRETS = [
    "s3://AKID:MYHUSH@bucket/audit",
    "s3://AKID:MYHUSH/TAILHUSH@bucket/audit",
    "s3://AKID:MYHUSH TAILHUSH@bucket/audit",
    "s3://AKID:p@TAILHUSH@bucket",
    "s3://AKID:a?b=TAILHUSH@bucket/x",
    "s3://AKID:a#TAILHUSH@bucket/x",
    "s3://AKID:MYHUSH/bucket/x",
    "s3://MYHUSH@bucket",
    "s3://MYHUSH/TAILHUSH@bucket",
    "S3://AKID:MYHUSH@bucket",
    "s3://bucket/a.mp4?X-Amz-Signature=MYHUSH",
    "s3://bucket/gone?/a.mp4?X-Amz-Signature=MYHUSH",
    "s3://bucket/gone.mp4#X-Amz-Signature=MYHUSH",
    "s3://bucket/gone.mp4#MYHUSH",
    "s3://bucket/a.mp4?sv&sig=MYHUSH",
    "s3://bucket/a.mp4?sig=MYHUSH@TAILHUSH",
    "s3://bucket/a.mp4?sig=MYHUSH TAILHUSH",
    "gs://bucket/a.mp4?MYHUSH&x",
    "https://user:MYHUSH@host/a.mp4",
    "https://user:pa/MYHUSH@host/a.mp4",
    "https://host/a.mp4?sig=MYHUSH",
    "abfs://container:MYHUSH@account.dfs.core.windows.net/a.mp4",
    "abfs://MYHUSH@account.dfs.core.windows.net/a.mp4",
    "abfs://container@account.dfs.core.windows.net/a.mp4?sig=MYHUSH",
    "abfs://container@account.dfs.core.windows.net/MYHUSH@a.mp4",
    " s3://AKID:MYHUSH@bucket",
    '"s3://bucket/a.mp4?sig=MYHUSH"',
    "s3:/AKID:MYHUSH@bucket",
]


@pytest.mark.parametrize("address", WITH_SECRETS)
def test_inputs_with_secrets_are_refused_and_not_shown(address: str) -> None:
    with pytest.raises(ConfigError) as raised:
        find_sources([address])
    assert "HUSH" not in f"{raised.value} {raised.value.remedy}"


@pytest.mark.parametrize("address", WITH_SECRETS)
def test_messages_do_not_repeat_secrets(address: str) -> None:
    for message in (address, f"Custom endpoint `{address}` was not a valid URI", f"of http://host:9/x: {address}"):
        shown = redacted(message)
        if "HUSH" in shown:  # a message goes on behind a blank, and a fragment without `=` may be text
            assert address in ("s3://bucket/gone.mp4#MYHUSH", "s3://bucket/a.mp4?sig=MYHUSH TAILHUSH")
    assert redacted("Invalid endpoint: user:MYHUSH@127.0.0.1:9") == "Invalid endpoint: ***@127.0.0.1:9"


@pytest.mark.parametrize(
    "message",
    [
        'Could not connect to the endpoint URL: "http://127.0.0.1:9/bucket/a.mp4"',
        "http://[::1]:9/bucket: refused",
        "s3://bucket/cam?/*.mp4 (nothing is there)",
        "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/site/a.mp4",
        "at 10:30 somebody@example.org called; a = b?",
    ],
)
def test_messages_without_secrets_are_shown_whole(message: str) -> None:
    assert redacted(message) == message


def test_what_is_said_behind_an_address_is_shown() -> None:
    assert redacted("<'http://h/b?list=2&prefix='> refused") == "<'http://h/b?***'> refused"


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket",
        "s3://bucket/cam?/[ab]*.mp4",
        "s3://bucket/date=2024-01-31/a&b c.mp4",
        "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/site/a.mp4",
        "abfss://container@account.dfs.core.windows.net/cams/a.mp4",
        "az://container/a.mp4",
    ],
)
def test_addresses_without_secrets_are_taken(address: str) -> None:
    assert checked_url(address) == address


def test_host_of_a_file_url_is_not_shown() -> None:
    with pytest.raises(OSError, match="another machine") as raised:
        local_path("file://user:MYHUSH@host/a.mp4")
    assert "HUSH" not in str(raised.value)


def test_reasons_for_failed_tasks_do_not_repeat_secrets() -> None:
    shown = reason(ValueError("cannot parse https://user:pa/MYHUSH@host/a.mp4\nand more"))
    assert shown == "cannot parse https://***@host/a.mp4"
