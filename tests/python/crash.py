"""What the crash test is made of: writers that know what they were told, and what may be there."""

import copy
import hashlib
import json
import random
import subprocess
from collections import Counter
from dataclasses import dataclass, field

from harness import ROOT, bearer, binary

MIB = 1024 * 1024
# Longer than one part of an upload in parts, for those of clients and for those to a bucket.
BIG = 9 * MIB


def content(seed, size):
    """Bytes that are those of one write alone."""
    block = hashlib.sha256(str(seed).encode()).digest()
    return (block * (size // len(block) + 1))[:size]


@dataclass
class State:
    """An artifact: files by version, and those of the stage. A file is its ETag and its size."""
    versions: dict = field(default_factory=dict)
    stage: dict | None = None
    fresh: bool = True  # whether the commit adds a version
    announced: set = field(default_factory=set)

    def latest(self):
        return list(self.versions)[-1] if self.versions else None

    def seen(self):
        """What a reader can see of it."""
        return {"versions": self.versions, "stage": self.stage}


class Writer:
    """Does one random thing after the other, until the server is gone."""

    def __init__(self, lane, workspace):
        self.lane, self.workspace, self.count = lane, workspace, 0
        self.known = {}    # alias -> what was acknowledged; None once it is deleted
        self.pending = {}  # alias -> what it is if the last call, which nobody answered, was done
        self.done = Counter()
        self.touched = set()

    async def work(self, manager, http, token):
        self.manager, self.http, self.headers = manager, http, bearer(token)
        while True:
            await self.one_thing()

    async def told(self, kind, alias, after, call):
        """A call that turns the artifact into `after`: acknowledged when it returns."""
        self.pending = {alias: after}
        self.touched.add(alias)
        result = await call
        self.known[alias] = after
        self.pending = {}
        self.done[kind] += 1
        return result

    async def one_thing(self):
        alive = [alias for alias, state in self.known.items() if state is not None]
        if not alive or (len(alive) < 6 and random.random() < 0.15):
            return await self.create()
        alias = random.choice(alive)
        state = self.known[alias]
        if state.stage is None:
            choices = [self.edit, self.edit, self.edit, self.duplicate, self.delete]
        else:
            choices = [self.put_by_url, self.put_by_http, self.write, self.multipart, self.commit,
                       self.remove, self.put_by_url, self.commit]
            choices += [self.discard] if state.versions else []
        await random.choice(choices)(alias, copy.deepcopy(state))

    def fresh(self):
        self.count += 1
        return f"{self.lane}-{self.count}"

    def file(self, size=None):
        self.count += 1
        size = size or random.choice([20, 20, 20, 2000, BIG])
        return random.choice(["a.txt", "b/c.txt", "d.bin"]), content(f"{self.lane}/{self.count}", size)

    async def create(self):
        alias = self.fresh()
        call = self.manager.create(alias=alias, manifest={"name": alias}, stage=True)
        await self.told("create", alias, State(stage={}), call)

    async def put_by_url(self, alias, after):
        path, data = self.file()
        after.announced.add(path)
        url = await self.told("announce", alias, copy.deepcopy(after), self.manager.put_file(alias, path))
        after.stage[path] = (hashlib.md5(data).hexdigest(), len(data))
        await self.told("put by address", alias, after, self.put(url, data))

    async def put(self, url, data, headers=None):
        answer = await self.http.put(url, content=data, headers=headers)
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        return answer.headers["etag"].strip('"')

    async def put_by_http(self, alias, after):
        path, data = self.file()
        after.stage[path] = (hashlib.md5(data).hexdigest(), len(data))
        url = f"/{self.workspace}/artifacts/{alias}/files/{path}"
        await self.told("put over HTTP", alias, after, self.put(url, data, self.headers))

    async def write(self, alias, after):
        path, data = self.file(200)
        after.stage[path] = (hashlib.md5(data).hexdigest(), len(data))
        call = self.manager.write_file(alias, path, data, format="binary")
        await self.told("write_file", alias, after, call)

    async def multipart(self, alias, after):
        path, first = self.file(5 * MIB)
        parts = [first, content(f"{self.lane}/{self.count}/last", 1000)]
        after.announced.add(path)
        begin = self.manager.put_file_start_multipart(alias, path, 2)
        begun = await self.told("begin parts", alias, copy.deepcopy(after), begin)
        tags = [await self.put(part["url"], data) for part, data in zip(begun["parts"], parts)]
        joined = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
        after.stage[path] = (f"{joined}-2", sum(map(len, parts)))
        listed = [{"part_number": number, "etag": tag} for number, tag in enumerate(tags, 1)]
        call = self.manager.put_file_complete_multipart(alias, begun["upload_id"], listed)
        await self.told("complete parts", alias, after, call)

    async def remove(self, alias, after):
        if not after.stage:
            return
        path = random.choice(sorted(after.stage))
        del after.stage[path]
        after.announced.discard(path)
        await self.told("remove_file", alias, after, self.manager.remove_file(alias, path))

    async def commit(self, alias, after):
        for path in after.announced - set(after.stage):  # announced, and never put
            cleared = copy.deepcopy(after)
            cleared.announced.discard(path)
            await self.told("remove_file", alias, cleared, self.manager.remove_file(alias, path))
            after = copy.deepcopy(cleared)
        label = f"v{len(after.versions)}" if after.fresh or not after.versions else after.latest()
        after.versions[label] = after.stage
        after.stage, after.announced = None, set()
        await self.told("commit", alias, after, self.manager.commit(alias))

    async def edit(self, alias, after):
        after.fresh = random.random() < 0.5
        after.stage = {} if after.fresh else dict(after.versions[after.latest()])
        version = {"version": "new"} if after.fresh else {}
        await self.told("edit", alias, after, self.manager.edit(alias, stage=True, **version))

    async def discard(self, alias, after):
        after.stage, after.announced = None, set()
        await self.told("discard", alias, after, self.manager.discard(alias))

    async def duplicate(self, alias, state):
        other = self.fresh()
        after = State(versions={"v0": dict(state.versions[state.latest()])})
        call = self.manager.duplicate(alias, target_alias=other)
        await self.told("duplicate", other, after, call)

    async def delete(self, alias, _):
        call = self.manager.delete(alias, delete_files=random.random() < 0.5)
        await self.told("delete", alias, None, call)

    # --- after the crash -------------------------------------------------------------------

    async def check(self, manager, http, token, all_of_them):
        """What is there is what was acknowledged, or with all of the one call that nobody answered."""
        headers = bearer(token)
        self.known = {**dict.fromkeys(self.pending), **self.known}
        others = sorted(set(self.known) - self.touched)
        looked_at = others + sorted(self.touched) if all_of_them else \
            sorted(self.touched) + random.sample(others, min(2, len(others)))
        self.touched = set()
        landed = 0
        for alias in looked_at:
            seen = await look(manager, http, headers, self.workspace, alias)
            known, after = self.known[alias], self.pending.get(alias, self.known[alias])
            if seen == (after and after.seen()):
                landed += alias in self.pending
                self.known[alias] = after
                # What the answer would have told is not in what a reader sees.
                if known and after and known.seen() == after.seen():
                    self.known[alias].announced = known.announced | after.announced
            else:
                assert seen == (known and known.seen()), f"{alias}: {seen}\nknown: {known}\nafter: {after}"
        unanswered, self.pending = len(self.pending), {}
        return unanswered, landed


async def look(manager, http, headers, workspace, alias):
    """An artifact as a reader sees it; None when there is none."""
    try:
        record = await manager.read(alias, version="stage", silent=True)
    except Exception as error:
        assert "does not exist" in str(error), error
        return None
    names = [version["version"] for version in record["versions"]]
    seen = {"versions": {}, "stage": None}
    for version in [*names, *(["stage"] if record["staging"] is not None else [])]:
        files = {}
        for folder in ("", "b"):
            for entry in await manager.list_files(alias, folder, version=version):
                if entry["type"] == "file":
                    path = f"{folder}/{entry['name']}".lstrip("/")
                    url = f"/{workspace}/artifacts/{alias}/files/{path}"
                    whole = entry["size"] < MIB or random.random() < 0.05
                    ask = http.get if whole else http.head
                    answer = await ask(url, params={"version": version}, headers=headers)
                    assert answer.status_code == 200, (alias, version, path, answer.status_code)
                    tag = answer.headers["etag"].strip('"')
                    if whole:
                        assert len(answer.content) == entry["size"]
                        assert "-" in tag or hashlib.md5(answer.content).hexdigest() == tag
                    files[path] = (tag, entry["size"])
        if version == "stage":
            seen["stage"] = files
        else:
            seen["versions"][version] = files
    return seen


def doctor(server, *more):
    """What `rhizome doctor --artifacts` says about the data of a server that does not run."""
    command = [*binary(), "doctor", "--artifacts", "--json", "--data-dir", str(server.data_dir),
               *(arg for arg in server.args if not arg.startswith("--enable-mcp")), *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)
