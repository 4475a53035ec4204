"""What stands between an audit folder and a store: objects, the lock, the working copy."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from pipeline.errors import StoreError
from pipeline.observer import Observer
from pipeline.remote_audit.journal import Journal
from pipeline.remote_audit.lease import Holder, Lease
from pipeline.remote_audit.object_store import ObjectStore
from pipeline.remote_audit.opening import open_for_run
from pipeline.remote_audit.publisher import Publisher
from pipeline.remote_audit.run_copy import CACHE_VARIABLE, working_place
from pipeline.remote_audit.watching import watching
from pipeline.remote_audit.working_copy import WorkingCopy
from tests.s3 import SECRET, S3Server

ID = "0123456789abcdef"


@pytest.fixture(params=["s3", "memory"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """An empty folder in a store, of every kind that runs here."""
    if request.param == "memory":
        return ObjectStore("memory://audit", (fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}"))
    s3: S3Server = request.getfixturevalue("s3")
    return ObjectStore(f"s3://{s3.bucket()}/some/audit/")


@pytest.fixture
def copy(store: ObjectStore, tmp_path: Path) -> WorkingCopy:
    """A working copy of the store."""
    (tmp_path / "copy").mkdir()
    return WorkingCopy(store, tmp_path / "copy", Journal(tmp_path / "journal"))


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files as an audit does: each gets its name when it is whole."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "new").write_text(content)
        (folder / "new").replace(folder / name)


def contents(store: ObjectStore) -> dict[str, bytes | None]:
    return {name: store.read(name) for name in store.sizes()}


def test_objects_are_listed_read_replaced_and_deleted(store: ObjectStore) -> None:
    assert store.sizes() == {}
    assert store.read("run.json") is None
    assert store.modified("run.json") is None
    assert store.sha256("run.json") is None
    name = "frames/camera=Gerbang 1%2F2/a.parquet"
    store.put("run.json", b"{}")
    store.put(name, b"1234")
    store.put(name, b"12345")
    assert store.sizes() == {name: 5, "run.json": 2}
    assert store.sizes("frames") == {name: 5}
    assert store.read(name) == b"12345"
    assert store.sha256(name) == "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"
    store.delete([name, "never there"])
    assert store.sizes() == {"run.json": 2}


def test_small_and_large_files_go_and_come_whole(store: ObjectStore, tmp_path: Path) -> None:
    contents = {"small": os.urandom(1000), "large": os.urandom(5 << 20)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert set(store.upload(tmp_path, [*contents, "gone"])) == set(contents)
    (tmp_path / "back").mkdir()
    store.download(tmp_path / "back", contents)
    assert {path.name: path.read_bytes() for path in (tmp_path / "back").iterdir()} == contents
    assert store.sha256("large") == hashlib.sha256(contents["large"]).hexdigest()


def test_of_many_that_create_one_object_one_does(store: ObjectStore) -> None:
    created = []
    threads = [threading.Thread(target=lambda: created.append(store.create("lock", b"x"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [False] * 7 + [True]


def test_neighbours_with_a_longer_name_are_not_of_the_folder(s3: S3Server) -> None:
    bucket = s3.bucket()
    ObjectStore(f"s3://{bucket}/audit-2").put("run.json", b"{}")
    assert ObjectStore(f"s3://{bucket}/audit").sizes() == {}


# --- the working copy ---------------------------------------------------------------------------------------


def test_published_is_what_has_its_name_and_gone_is_what_went(store: ObjectStore, copy: WorkingCopy) -> None:
    write(copy.folder, {"frames/a.parquet": "rows", "faces/a.parquet.tmp": "half", ".lock": "", ".work/s": "1"})
    copy.publish()
    assert store.sizes() == {}  # nothing has begun that could replace what is there
    write(copy.folder, {"run.json": "{}", ".work/sources/f/a.json": "record"})
    copy.publish()
    assert set(store.sizes()) == {"frames/a.parquet", "run.json", ".work/s", ".work/sources/f/a.json"}
    (copy.folder / ".work/s").unlink()
    write(copy.folder, {"run.json": "{ }"})
    copy.publish()
    assert contents(store) == {"frames/a.parquet": b"rows", "run.json": b"{ }", ".work/sources/f/a.json": b"record"}


def test_what_is_published_is_not_published_again(s3: S3Server, tmp_path: Path) -> None:
    store, folder, journal = ObjectStore(f"s3://{s3.bucket()}/audit"), tmp_path / "copy", tmp_path / "journal"
    write(folder, {"run.json": "{}", "frames/a.parquet": "rows"})
    WorkingCopy(store, folder, Journal(journal)).publish()
    with journal.open("a") as file:
        file.write('\n["frames/b.par')  # killed while it wrote
    n_requests = len(s3.requests)
    copy = WorkingCopy(store, folder, Journal(journal))
    copy.publish()
    assert len(s3.requests) == n_requests
    write(folder, {"frames/a.parquet": "ROWS"})  # the same size
    copy.publish()
    assert len(s3.requests) == n_requests + 1
    assert store.read("frames/a.parquet") == b"ROWS"


def test_records_come_after_what_they_speak_of_and_go_before_it(s3: S3Server, tmp_path: Path) -> None:
    copy = WorkingCopy(ObjectStore(f"s3://{s3.bucket()}/audit"), tmp_path, Journal(None))
    ledger = {".work/sources/f/a.json", "sources.parquet"}
    rows = {"faces/a.parquet", ".work/segments/f/b.parquet"}
    write(tmp_path, dict.fromkeys(["run.json", *ledger, *rows], "content"))
    copy.publish()
    for name in ledger | rows:
        (tmp_path / name).unlink()
    copy.publish()
    put = [r.path.partition("/audit/")[2] for r in s3.requests if r.method == "PUT" and "/audit/" in r.path]
    assert (set(put[:2]), set(put[2:4]), put[4:]) == (rows, ledger, ["run.json"])
    deleted = [r.path.partition("/audit/")[2] for r in s3.requests if r.method == "DELETE"]
    assert (set(deleted[:2]), set(deleted[2:])) == (ledger, rows)


def test_brought_is_what_an_audit_consists_of(store: ObjectStore, copy: WorkingCopy, tmp_path: Path) -> None:
    names = {"run.json", f"faces/camera=a/{ID}.parquet", "evidence/a_unknown_01234567_f1_0_face.jpg"}
    names |= {f".work/segments/f/{ID}-0-1.parquet"}
    others = {"notes.txt", "evidence/a.jpg", "frames/1.jpg", ".work/list.txt"}
    others |= {"sample/crops/1.jpg", ".lock/000001.json", "faces/../../escaped", "report.html"}
    for name in names | others:
        store.put(name, name.encode())
    copy.bring()
    found = {path.relative_to(copy.folder).as_posix() for path in copy.folder.rglob("*") if path.is_file()}
    assert found == names
    assert all((copy.folder / name).read_text() == name for name in names)
    assert not (tmp_path / "escaped").exists()
    copy.publish()
    assert set(store.sizes()) == names | others


def test_an_audit_that_is_replaced_goes_before_the_new_one_comes(s3: S3Server, tmp_path: Path) -> None:
    store = ObjectStore(f"s3://{s3.bucket()}/audit")
    others = {"notes.txt", "faces/of visitors.parquet", "evidence/1.jpg"}
    for name in ("run.json", "sources.parquet", f"faces/camera=a/{ID}.parquet", *others):
        store.put(name, b"old")
    copy = WorkingCopy(store, tmp_path, Journal(None))
    copy.replace()
    copy.publish()
    assert len(store.sizes()) == 6  # the new one has not begun
    write(tmp_path, {"run.json": "{}", "faces/camera=b/new.parquet": "rows"})
    n_requests = len(s3.requests)
    copy.publish()
    changes = [r.method for r in s3.requests[n_requests:]]
    assert changes == ["DELETE"] * 3 + ["PUT"] * 2
    assert set(store.sizes()) == {"run.json", "faces/camera=b/new.parquet", *others}


def test_a_copy_is_known_by_the_run_that_last_worked_in_the_store(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path).enter_run("mine")
    Journal(path).enter_intent("next")  # killed before it could say that it holds the lock
    journal = Journal(path)
    assert journal.is_of(Holder("mine", None))
    assert journal.is_of(Holder("next", "mine"))
    assert not journal.is_of(Holder("next", "another's"))
    assert not journal.is_of(Holder("another's", "mine"))
    assert not journal.is_of(None)
    journal.begin()
    assert not Journal(path).is_of(Holder("mine", None))


# --- the lock -----------------------------------------------------------------------------------------------


def test_second_holder_is_refused_and_told_who_holds_it(store: ObjectStore) -> None:
    first, second = Lease(store), Lease(store)
    assert first.acquire() is None
    with pytest.raises(StoreError, match=f"process {os.getpid()} on {os.uname().nodename}.* last sign of life"):
        second.acquire()
    first.confirm()
    first.release()
    assert store.sizes() == {}
    assert second.acquire() is None
    second.release()
    assert store.sizes() == {}


def as_on_another_machine(store: ObjectStore, lease: Lease) -> None:
    """Make the lock of a lease that of another machine, where the number of its process tells nothing."""
    (name,) = store.sizes(".lock")
    about = json.loads(store.read(name) or b"")
    store.put(name, json.dumps({**about, "machine": "another"}).encode())


def test_dead_holder_is_taken_over_and_stops_if_it_was_not_dead(store: ObjectStore) -> None:
    # S3 tells whole seconds: what it takes for three may be little more than two, but never less than half of three.
    sleeper, next_one = Lease(store, beat_s=0.01, lasts_s=3.0), Lease(store)
    sleeper.acquire()
    sleeper.abandon()  # gives no sign of life any more
    as_on_another_machine(store, sleeper)
    deadline = time.monotonic() + 30
    while True:
        try:
            holder = next_one.acquire()
            break
        except StoreError:
            assert time.monotonic() < deadline
    assert holder == Holder(sleeper.run_id, None)
    assert list(store.sizes()) == [".lock/000002.json"]
    with pytest.raises(StoreError, match="another run has taken this audit over"):
        sleeper.confirm()
    sleeper.release()
    next_one.confirm()
    assert list(store.sizes()) == [".lock/000002.json"]
    next_one.release()


def test_holder_whose_process_is_gone_is_taken_over_at_once(store: ObjectStore) -> None:
    killed = Lease(store)
    killed.acquire()
    killed.abandon()
    about = json.loads(store.read(".lock/000001.json") or b"")
    store.put(".lock/000001.json", json.dumps({**about, "pid": 2**22 + 1}).encode())  # no process has such a number
    heir = Lease(store)
    assert heir.acquire() == Holder(killed.run_id, None)
    heir.release()
    store.put(".lock/000001.json", json.dumps({**about, "pid": 2**22 + 1}).encode())
    as_on_another_machine(store, killed)
    with pytest.raises(StoreError, match="another run"):
        Lease(store).acquire()


def test_of_many_that_find_a_dead_holder_at_once_one_takes_over(store: ObjectStore) -> None:
    dead = Lease(store)
    dead.acquire()
    dead.abandon()
    leases = [Lease(store) for _ in range(8)]
    holding = []

    def take(lease: Lease) -> None:
        with contextlib.suppress(StoreError):
            lease.acquire()
            holding.append(lease)

    threads = [threading.Thread(target=take, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(holding) == 1
    holding[0].confirm()
    holding[0].release()
    assert store.sizes() == {}


def test_store_without_conditions_still_lets_one_of_two_in(s3: S3Server) -> None:
    s3.knows_conditions = False
    store = ObjectStore(f"s3://{s3.bucket()}/audit")
    assert store.create("a", b"1")
    assert store.create("a", b"2")  # the server has overwritten it
    store.delete(["a"])
    first = Lease(store, beat_s=0.01)
    first.acquire()
    with pytest.raises(StoreError, match="another run is at work"):
        Lease(store).acquire()
    first.confirm()
    # One that began at the same moment and wrote last: the first notices at its next sign of life.
    with pytest.raises(StoreError, match="another run has taken this audit over"):
        wait_until(lambda: (store.put(".lock/000001.json", b'{"run": "another"}'), first.confirm())[1])
    first.release()
    assert store.read(".lock/000001.json") == b'{"run": "another"}'


# --- a run's copy -------------------------------------------------------------------------------------------

RECORD, TABLE = f".work/sources/f/{ID}.json", f"faces/camera=a/{ID}.parquet"
SEGMENT = f".work/segments/f/{ID}-000000000-000009.parquet"
RUNS = [f'{{"tool": "facemask-batch", "run": {number}}}' for number in range(4)]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Makes this process one of the machine of a name; gives where working copies lie there."""

    def become(name: str) -> Path:
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / name))
        return tmp_path / name / "audits"

    return become


def run_that_cannot_publish_its_end(s3: S3Server, url: str) -> None:
    """A run that commits a source and a segment when the store refuses everything."""
    with contextlib.ExitStack() as denial:
        audit = contextlib.ExitStack()
        opened = audit.enter_context(open_for_run(url, overwrite=False))
        write(opened.folder, {"run.json": RUNS[1]})
        wait_until(lambda: "run.json" in ObjectStore(url).sizes())
        denial.enter_context(s3.answering(lambda request: ("403 Forbidden", "AccessDenied")))
        write(opened.folder, {SEGMENT: "rows", TABLE: "rows", RECORD: "record", "run.json": RUNS[2]})
        with pytest.raises(StoreError, match="access is denied") as raised:
            audit.close()
    assert f"lies in {working_place(url)}" in str(raised.value.remedy)


def test_what_could_not_be_published_is_found_again(
    s3: S3Server, machine: Callable[[str], Path], tmp_path: Path
) -> None:
    url, places = f"s3://{s3.bucket()}/audit", machine("first")
    run_that_cannot_publish_its_end(s3, url)
    assert set(ObjectStore(url).sizes()) == {"run.json", ".lock/000001.json"}
    assert stat.S_IMODE(working_place(url).stat().st_mode) == 0o700
    with open_for_run(url, overwrite=False) as opened:
        assert (opened.folder / TABLE).read_text() == "rows"
        assert (opened.folder / "run.json").read_text() == RUNS[2]
    assert contents(ObjectStore(url)) == {
        SEGMENT: b"rows",
        TABLE: b"rows",
        RECORD: b"record",
        "run.json": RUNS[2].encode(),
    }
    assert list(places.iterdir()) == []


def test_work_of_another_machine_counts_more_than_an_old_copy(s3: S3Server, machine: Callable[[str], Path]) -> None:
    url, places = f"s3://{s3.bucket()}/audit", machine("first")
    run_that_cannot_publish_its_end(s3, url)
    machine("second")
    with open_for_run(url, overwrite=False) as opened:
        assert (opened.folder / "run.json").read_text() == RUNS[1]
        assert not (opened.folder / RECORD).exists()
        write(opened.folder, {"run.json": RUNS[3], TABLE: "ROWS", RECORD: "RECORD"})
    machine("first")
    with open_for_run(url, overwrite=False) as opened:
        # Segments are named by what they are of, so those that were made here are still good.
        found = {path.relative_to(opened.folder).as_posix() for path in opened.folder.rglob("*") if path.is_file()}
        assert found == {"run.json", TABLE, RECORD, SEGMENT}
        assert [(opened.folder / name).read_text() for name in ("run.json", TABLE, RECORD)] == [
            RUNS[3],
            "ROWS",
            "RECORD",
        ]
    assert list(places.iterdir()) == []


def test_interrupted_run_leaves_everything_in_the_store_and_nothing_here(
    s3: S3Server, machine: Callable[[str], Path]
) -> None:
    store, places = ObjectStore(f"s3://{s3.bucket()}/audit"), machine("first")

    def interrupted_run() -> None:
        with open_for_run(store.url, overwrite=False) as opened:
            write(opened.folder, {"run.json": RUNS[1], SEGMENT: "rows"})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_run()
    assert contents(store) == {"run.json": RUNS[1].encode(), SEGMENT: b"rows"}
    assert list(places.iterdir()) == []


def test_overwrite_brings_nothing_and_leaves_nothing(s3: S3Server, machine: Callable[[str], Path]) -> None:
    store, _ = ObjectStore(f"s3://{s3.bucket()}/audit"), machine("first")
    for name in ("run.json", TABLE, "evidence/1.jpg", "report.html", "notes.txt"):
        store.put(name, RUNS[1].encode())
    with open_for_run(store.url, overwrite=True) as opened:
        assert list(opened.folder.iterdir()) == []
    assert len(store.sizes()) == 5  # a run that found nothing to audit replaces nothing
    with open_for_run(store.url, overwrite=True) as opened:
        write(opened.folder, {"run.json": RUNS[2]})
    assert set(store.sizes()) == {"run.json", "evidence/1.jpg", "notes.txt"}
    assert store.read("run.json") == RUNS[2].encode()


def test_driver_is_told_that_the_store_fails(s3: S3Server, machine: Callable[[str], Path]) -> None:
    told: list[str] = []

    class Listener(Observer):
        def delayed(self, reason: str) -> None:
            told.append(reason)

    machine("first")
    with open_for_run(f"s3://{s3.bucket()}/audit", overwrite=False) as opened:
        observer = watching(Listener(), opened)
        write(opened.folder, {"run.json": "1"})
        observer.judged(1)
        assert told == []
        with s3.answering(lambda request: ("500 Internal Server Error", "InternalError")):
            wait_until(opened.trouble)
        observer.judged(2)
        observer.judged(3)
    assert len(told) == 1
    assert "InternalError" in told[0]


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "cause", "is_transient"),
    [
        (("403 Forbidden", "AccessDenied"), "access is denied", False),
        (("403 Forbidden", "InvalidAccessKeyId"), "access is denied", False),
        (("404 Not Found", "NoSuchBucket"), "nothing is there", False),
        (("500 Internal Server Error", "InternalError"), "InternalError", True),
    ],
)
def test_refusals_are_named(s3: S3Server, answer: tuple[str, str], cause: str, is_transient: bool) -> None:
    store = ObjectStore(f"s3://{s3.bucket()}/audit")
    with s3.answering(lambda request: answer), pytest.raises(StoreError, match=cause) as raised:
        store.put("run.json", b"{}")
    assert raised.value.is_transient == is_transient
    assert SECRET not in f"{raised.value} {raised.value.remedy}"


def test_store_that_is_busy_for_a_while_is_asked_again(s3: S3Server) -> None:
    store = ObjectStore(f"s3://{s3.bucket()}/audit")
    refusals = iter([("503 Service Unavailable", "SlowDown")] * 3)
    with s3.answering(lambda request: next(refusals, None)):
        store.put("run.json", b"{}")
    assert store.read("run.json") == b"{}"


def test_publisher_goes_on_after_failures_and_gives_up_after_too_long(s3: S3Server, tmp_path: Path) -> None:
    store = ObjectStore(f"s3://{s3.bucket()}/audit")
    copy, lease = WorkingCopy(store, tmp_path, Journal(None)), Lease(store)
    lease.acquire()
    publisher = Publisher(copy, lease, every_s=0.05, give_up_s=0.0)
    write(tmp_path, {"run.json": "{}"})
    failing = True
    with s3.answering(lambda request: ("500 Internal Server Error", "InternalError") if failing else None):
        patient = Publisher(copy, lease, every_s=0.05, give_up_s=600.0)
        patient.start()
        wait_until(lambda: sum(r.method == "PUT" for r in s3.requests) > 3)
        patient.check()
        failing = False
        wait_until(lambda: store.read("run.json") == b"{}")
        patient.stop()
        failing = True
        write(tmp_path, {"run.json": "{ }"})
        publisher.start()
        with pytest.raises(StoreError, match="InternalError"):
            wait_until(publisher.check)
        publisher.stop()
    assert store.read("run.json") == b"{}"
    lease.release()


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
