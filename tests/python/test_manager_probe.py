"""The manager's answers against what was observed on a running reference server.

manager_probe.json holds one observed call per row: who called what, and the last line of the error, or the shape
of the result (keys of a map, keys of the first entry of a list, a plain value, ids of services). Names in braces
are filled in here. Rows whose outcome was a flaw of the reference were left out; where ours differs on purpose,
DIFFERENT says how and why. (public/server-apps stands for the public services that were seen.)
"""

import json
import uuid
from pathlib import Path

from harness import User

ROWS = json.loads((Path(__file__).parent / "manager_probe.json").read_text())

PERMISSION = "PermissionError: Permission denied for non-public service in workspace {ws}"
NO_HIDDEN_IDS = {"error": PERMISSION}  # the reference names protected services to strangers (rule S8)
OPEN = ["{ws}/prov:auth", "{ws}/prov:pub"]

DIFFERENT = {
    # The reference tells strangers who is connected (S6), and lists protected services that it then refuses.
    "anon.list_services(my-ws,{})": {"ids": OPEN},
    "anon.list_services(*,{})": {"ids": ["{ws}/prov:pub"]},
    "anon.get_service_info(my-ws/svc)": NO_HIDDEN_IDS,
    "anon.get_service(my-ws/svc)": NO_HIDDEN_IDS,
    # With apps on there is an answer about the app, not about a missing artifact manager.
    "rw.get_service(my-ws/svc@app1)": {"error": "KeyError: 'Application id `app1` not found in workspace {ws}'"},
    "anon.get_service(my-ws/svc@app1)": {"error": "KeyError: 'Application id `app1` not found in workspace {ws}'"},
    # Junk is junk at both places; the reference says 401 in the middle of the sentence.
    "root.revoke.junk": {"error": "ValueError: Invalid token: Error decoding token headers."},
}


def filled(value, names):
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace("{" + name + "}", text)
        return value
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    if isinstance(value, dict):
        return {key: filled(item, names) for key, item in value.items()}
    return value


def difference(row, names, kind, value):
    """What is wrong with an answer, or None."""
    expected = filled({**row, **DIFFERENT.get(row["seen"], {})}, names)
    if row["seen"] in DIFFERENT and "error" in DIFFERENT[row["seen"]] or "error" in row:
        if kind != "error":
            return f"answered {value!r}"
        return None if value == expected["error"] else f"{value}\n    expected {expected['error']}"
    if kind == "error":
        return f"failed: {value}"
    if "ids" in expected:
        # The observed server had no third client here.
        found = sorted({s["id"] for s in value if s["id"].startswith(names["ws"] + "/")
                        and not s["id"].startswith(names["ws"] + "/test-")})
        wanted = sorted({i for i in expected["ids"] if i.startswith(names["ws"] + "/")})
        return None if found == wanted else f"{found}\n    expected {wanted}"
    if "id" in expected and "method" in row and row["method"].startswith("get_service"):
        same = value["id"].split(":")[-1] == expected["id"].split(":")[-1]
        missing = set(row["keys"] or ()) - set(value)
        return None if same and not missing else f"id {value['id']}, missing {missing}"
    if "value" in expected:
        wanted = expected["value"]
        if isinstance(wanted, str) and wanted.endswith(": "):  # the reference gives no reason
            return None if str(value).startswith(wanted) else f"{value!r}, expected {wanted!r}"
        return None if value == wanted else f"{value!r}, expected {wanted!r}"
    if "keys" in expected:
        return None if sorted(value) == expected["keys"] else f"keys {sorted(value)}, expected {expected['keys']}"
    if expected.get("list"):
        keys = sorted(value[0]) if value else None
        return None if keys == expected["list"] else f"keys {keys}, expected {expected['list']}"
    if "list" in expected:
        return None if isinstance(value, list) else f"{value!r}, expected a list"
    return None if type(value).__name__ == expected["type"] else f"{value!r}, expected {expected['type']}"


async def provider(connect, token, ws, client_id, services):
    api = await connect(token=token, workspace=ws, client_id=client_id)
    for name, config in services.items():
        await api.register_service({"id": name, "hello": lambda: 1, "config": config})
    return api


async def test_every_observed_call(connect, server):
    owner_user, stranger_user = User(server, "owner"), User(server, "stranger")
    owner = await connect(owner_user, client_id="owner")
    root = await connect(token=server.root_token, client_id=f"r-{uuid.uuid4().hex[:6]}")
    names = {"ws": f"lab-{uuid.uuid4().hex[:8]}", "persistent": f"kept-{uuid.uuid4().hex[:8]}",
             "doomed": f"doomed-{uuid.uuid4().hex[:8]}", "fresh": f"fresh-{uuid.uuid4().hex[:8]}",
             "own": owner_user.workspace, "owner": owner_user.id, "stranger": stranger_user.id}
    await owner.create_workspace({"id": names["ws"]})
    for name in ("persistent", "doomed"):
        await root.create_workspace({"id": names[name], "persistent": True})
    admin_token = await owner.generate_token({"workspace": names["ws"], "permission": "admin"})
    prov = await provider(connect, admin_token, names["ws"], "prov", {
        "svc": {}, "pub": {"visibility": "public", "require_context": False}, "unl": {"visibility": "unlisted"},
        "single": {"singleton": True}})
    anon = await connect(client_id="anon")
    await prov.register_service({"id": "auth", "hello": lambda: 1, "config": {
        "visibility": "protected", "authorized_workspaces": [anon.config.workspace]}})
    names["anon"] = anon.config.workspace
    rw1 = await provider(connect, admin_token, names["ws"], "rw1", {"svc": {}})
    callers = {"root": root, "anon": anon, "admin": rw1, "owner": owner, "stranger": await connect(stranger_user)}
    for who, level in (("ro", "r"), ("rw", "rw")):
        token = User(server, who).token(workspace=names["ws"], permission=level)
        callers[who] = await connect(token=token, workspace=names["ws"])
    wrong = []
    for row in ROWS:
        unique = f"t-{uuid.uuid4().hex[:8]}"
        token = await owner.generate_token({"workspace": names["ws"]})
        fill = {**names, "token": token, "unique": unique}
        api = callers[row["who"]]
        fill["self"] = f"{names['ws']}/{api.config.client_id}"
        # The client library wraps some methods of its own object; these are the server's.
        method = getattr(await api.get_service("~"), row["method"])
        try:
            kind, value = "ok", await method(*filled(row["args"], fill), **filled(row.get("kwargs", {}), fill))
        except Exception as error:
            lines = str(error).strip().splitlines()
            kind, value = "error", lines[-1].removeprefix("RemoteError:").strip()
        found = difference(row, fill, kind, value)
        if found:
            wrong.append(f"{row['seen']}: {found}")
    assert not wrong, f"{len(wrong)} of {len(ROWS)} rows differ:\n" + "\n".join(wrong)
