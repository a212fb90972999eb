"""Accounts kept by the server: `--enable-local-auth`."""

import asyncio
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer

import hypha_rpc
import pytest
from hypha_rpc import connect_to_server

from harness import Server, bearer, failure

SERVICE = "public/hypha-login"
BASE = "/public/services/hypha-login"
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def accounts_server(tmp_path_factory):
    """A server with accounts that sends no mail."""
    folder = tmp_path_factory.mktemp("accounts")
    server = Server(folder / "data", folder / "server.log", args=["--enable-local-auth"],
                    env={"RESEND_API_KEY": ""})
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def login(connect, accounts_server):
    return await (await connect(at=accounts_server)).get_service(SERVICE)


def fresh_email():
    return f"ann-{uuid.uuid4().hex[:8]}@lab.org"


async def new_account(login, email=None, name="Ann", password=PASSWORD):
    """Signs up and verifies; returns (email, user id)."""
    email = email or fresh_email()
    asked = await login.signup(name=name, email=email, password=password)
    assert asked["success"] and asked["verification_required"], asked
    made = await login.verify_email(email=email, code=asked["dev_code"])
    assert made["success"] and made["email_verified"], made
    return email, made["user_id"]


def refused(answer):
    assert answer["success"] is False and "token" not in answer
    return answer["error"]


# --- signing up ----------------------------------------------------------------------------

async def test_from_sign_up_to_a_connection(login, connect, accounts_server):
    email, user_id = await new_account(login)
    answer = await login.login(email=email.upper(), password=PASSWORD)
    workspace = f"ws-user-{user_id}"
    assert set(answer) == {"success", "token", "user_id", "email", "workspace"}
    assert (answer["user_id"], answer["email"], answer["workspace"]) == (user_id, email, workspace)
    api = await connect(at=accounts_server, token=answer["token"])
    assert api.config.workspace == workspace and api.config.user["id"] == user_id
    assert api.config.user["roles"] == ["user"]
    await api.register_service({"id": "mine", "f": lambda: 1})
    # Without a mail provider an email proves nothing, so it is not the user's.
    assert api.config.user["email"] is None


async def test_what_signing_up_refuses(login):
    async def error(**fields):
        whole = {"name": "Ann", "email": fresh_email(), "password": PASSWORD, **fields}
        return refused(await login.signup(**{k: v for k, v in whole.items() if v is not None}))

    for missing in ("name", "email", "password"):
        assert await error(**{missing: None}) == "Name, email and password are required"
    assert "8 characters" in await error(password="1234567")
    assert "1024" in await error(password="x" * 2000)
    assert "email" in await error(email="nobody")
    assert "name" in await error(name="x" * 100)
    assert "string" in await error(name=5)
    email, _ = await new_account(login)
    assert await error(email=email.title()) == "Email already registered"


async def test_codes(login):
    email = fresh_email()
    asked = await login.signup(name="Ann", email=email, password=PASSWORD)
    code = asked["dev_code"]
    assert len(code) == 6 and code.isdigit()
    wrong = "000000" if code != "000000" else "111111"
    assert refused(await login.verify_email(email=email, code=wrong)) == \
        "Incorrect code. 4 attempt(s) remaining."
    assert "wait" in refused(await login.resend_code(email=email))
    assert "wait" in refused(await login.signup(name="Eve", email=email, password=PASSWORD))
    assert refused(await login.login(email=email, password=PASSWORD)) == "Invalid email or password"
    assert (await login.verify_email(email=email, code=int(code)))["success"]
    assert "No pending" in refused(await login.verify_email(email=email, code=code))
    assert "No pending" in refused(await login.verify_email(email=fresh_email(), code=code))
    assert "No pending" in refused(await login.resend_code(email=fresh_email()))


async def test_wrong_codes_end_a_sign_up(login):
    email = fresh_email()
    code = (await login.signup(name="Ann", email=email, password=PASSWORD))["dev_code"]
    wrong = "000000" if code != "000000" else "111111"
    errors = [refused(await login.verify_email(email=email, code=wrong)) for _ in range(5)]
    assert "Too many incorrect attempts" in errors[-1]
    assert "No pending" in refused(await login.verify_email(email=email, code=code))


async def test_one_code_makes_one_account(login):
    email = fresh_email()
    code = (await login.signup(name="Ann", email=email, password=PASSWORD))["dev_code"]
    answers = await asyncio.gather(*[login.verify_email(email=email, code=code) for _ in range(8)])
    assert sum(answer["success"] for answer in answers) == 1


# --- logging in ----------------------------------------------------------------------------

async def test_login_of_the_client_with_a_password(login, accounts_server):
    email, user_id = await new_account(login, name="Ann Lee")

    async def page(context):
        key = context["login_url"].split("key=")[1]
        assert (await login.login(email=email, password=PASSWORD, key=key))["success"]

    user = await hypha_rpc.login({"server_url": accounts_server.url, "profile": True,
                                  "login_callback": page, "login_timeout": 20})
    assert (user["user_id"], user["email"], user["name"]) == (user_id, email, "Ann Lee")
    assert user["email_verified"] is False and user["workspace"] == f"ws-user-{user_id}"
    async with connect_to_server({"server_url": accounts_server.url, "token": user["token"]}) as api:
        assert api.config.workspace == f"ws-user-{user_id}"


async def test_a_report_knows_the_account(login, http):
    email, user_id = await new_account(login, name="Ann Lee")
    token = (await login.login(email=email, password=PASSWORD))["token"]
    key = (await login.start())["key"]
    await login.report(key, token, email="eve@evil.org", email_verified=True)
    user = await login.check(key, profile=True)
    assert (user["user_id"], user["email"], user["name"]) == (user_id, email, "Ann Lee")
    assert user["email_verified"] is False


async def test_who_took_the_token_may_ask_again_and_nobody_else(login, connect, accounts_server):
    email, _ = await new_account(login)
    key = (await login.start())["key"]
    await login.login(email=email, password=PASSWORD, key=key)
    token = await login.check(key, timeout=0)
    assert (await login.check(key, timeout=0, profile=True))["token"] == token
    other = await (await connect(at=accounts_server)).get_service(SERVICE)
    assert "Invalid key" in await failure(other.check(key, timeout=0))
    assert "Invalid key" in refused(await other.login(email=email, password=PASSWORD, key=key))


async def test_no_foreign_workspace(login, connect, accounts_server):
    victim, victim_id = await new_account(login)
    email, user_id = await new_account(login)
    owner = await connect(at=accounts_server,
                          token=(await login.login(email=victim, password=PASSWORD))["token"])
    lab = (await owner.create_workspace({"name": f"lab-{uuid.uuid4().hex[:8]}"}))["id"]
    # An email among the owners is no way in for who never proved it.
    await owner.create_workspace({"name": f"{lab}-2", "owners": [email]})
    for foreign in (f"ws-user-{victim_id}", lab, f"{lab}-2", "ws-user-root", "no-such-one"):
        error = refused(await login.login(email=email, password=PASSWORD, workspace=foreign))
        assert error == f"Permission denied for workspace {foreign}"
        key = (await login.start(workspace=foreign))["key"]
        assert "denied" in refused(await login.login(email=email, password=PASSWORD, key=key))
        assert await login.check(key, timeout=0) is None
    own = await login.login(email=victim, password=PASSWORD, workspace=lab)
    assert own["workspace"] == lab
    api = await connect(at=accounts_server, token=own["token"])
    assert api.config.workspace == lab


async def test_wrong_logins(login):
    email, _ = await new_account(login)
    wrong = "Invalid email or password"
    assert refused(await login.login(email=email, password="not this one")) == wrong
    assert refused(await login.login(email=fresh_email(), password=PASSWORD)) == wrong
    assert refused(await login.login(email="nonsense", password=PASSWORD)) == wrong
    assert "required" in refused(await login.login(email=email))
    assert "string" in refused(await login.login(email=email, password={"$ne": None}))


async def test_guesses_are_limited_for_any_email(login):
    email, _ = await new_account(login)
    for target in (email, fresh_email()):
        errors = [refused(await login.login(email=target, password="wrong-one")) for _ in range(11)]
        assert set(errors[:10]) == {"Invalid email or password"}
        assert "Too many failed attempts" in errors[10]
    # Also the right password waits, or guessing would go on unseen.
    assert "Too many" in refused(await login.login(email=email, password=PASSWORD))
    assert "Too many" in refused(await login.update_profile(
        user_email=email, name="x", current_password=PASSWORD))


# --- changing an account -------------------------------------------------------------------

async def test_the_owner_changes_the_account(login, connect, accounts_server):
    email, _ = await new_account(login)
    token = (await login.login(email=email, password=PASSWORD))["token"]
    own = await (await connect(at=accounts_server, token=token)).get_service(SERVICE)
    assert (await own.update_profile(name="Ann B.", user_email=email))["success"]
    assert (await own.update_profile(name="Ann C."))["success"]
    assert "Current password required" in refused(await own.update_profile(new_password="another one"))
    assert "incorrect" in refused(await own.update_profile(
        new_password="another one", current_password="nonsense"))
    assert "8 characters" in refused(await own.update_profile(
        new_password="short", current_password=PASSWORD))
    assert (await own.update_profile(new_password="another one", current_password=PASSWORD))["success"]
    assert refused(await login.login(email=email, password=PASSWORD))
    key = (await login.start())["key"]
    await login.login(email=email, password="another one", key=key)
    assert (await login.check(key, profile=True))["name"] == "Ann C."


async def test_nobody_else_does(login, connect, accounts_server):
    email, user_id = await new_account(login)
    other, _ = await new_account(login)
    token = (await login.login(email=email, password=PASSWORD))["token"]
    owner = await connect(at=accounts_server, token=token)
    child = await owner.generate_token({"permission": "admin"})
    stranger = (await login.login(email=other, password=PASSWORD))["token"]
    for token in (None, stranger, child):
        api = await connect(at=accounts_server, **({"token": token} if token else {}))
        service = await api.get_service(SERVICE)
        for target in (email, fresh_email()):
            assert "only the owner" in refused(await service.update_profile(name="Eve", user_email=target))
    assert "Email is required" in refused(await login.update_profile(name="Eve"))
    # Who knows the password is the owner.
    assert (await login.update_profile(name="Ann", user_email=email, current_password=PASSWORD))["success"]


# --- over HTTP, mail, restarts -------------------------------------------------------------

async def test_over_http(accounts_server, http):
    email = fresh_email()
    url = accounts_server.url

    async def post(name, body, token=None):
        answer = await http.post(f"{url}{BASE}/{name}", json=body, headers=bearer(token) if token else {})
        assert answer.status_code == 200, answer.text
        return answer.json()

    asked = await post("signup", {"name": "Ann", "email": email, "password": PASSWORD})
    made = await post("verify_email", {"email": email, "code": asked["dev_code"]})
    foreign = {"email": email, "password": PASSWORD, "workspace": "ws-user-root"}
    assert "denied" in refused(await post("login", foreign))
    answer = await post("login", {"email": email, "password": PASSWORD, "workspace": None, "key": None})
    assert answer["workspace"] == f"ws-user-{made['user_id']}"
    assert (await post("update_profile", {"name": "Ann B."}, answer["token"]))["success"]
    page = (await http.get(f"{url}/public/apps/hypha-login/")).text
    assert 'id="sign-up"' in page


async def test_accounts_survive_a_crash(crashable):
    server = crashable(args=["--enable-local-auth"], env={"RESEND_API_KEY": ""})
    server.start()
    async with connect_to_server({"server_url": server.url}) as api:
        email, user_id = await new_account(await api.get_service(SERVICE))
    server.kill()
    server.start()
    async with connect_to_server({"server_url": server.url}) as api:
        login = await api.get_service(SERVICE)
        answer = await login.login(email=email, password=PASSWORD)
        assert (answer["success"], answer["user_id"]) == (True, user_id)
        assert refused(await login.signup(name="Eve", email=email, password=PASSWORD))
        own = await connect_to_server({"server_url": server.url, "token": answer["token"]})
        service = await own.get_service(SERVICE)
        assert (await service.update_profile(new_password="another one", current_password=PASSWORD))["success"]
    server.kill()
    server.start()
    async with connect_to_server({"server_url": server.url}) as api:
        login = await api.get_service(SERVICE)
        assert (await login.login(email=email, password="another one"))["success"]
    stored = b"".join(path.read_bytes() for path in (server.data_dir / "store").rglob("*") if path.is_file())
    assert b"another one" not in stored and b"$argon2id$" in stored


class MailProvider:
    """Takes mails as Resend does, and keeps them; refuses those to `refuse@…`."""

    def __init__(self):
        provider = self
        self.mails = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                refuse = body["to"][0].startswith("refuse@")
                provider.mails.append((self.headers["Authorization"], body))
                self.send_response(422 if refuse else 200)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/emails"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


async def test_codes_go_by_mail(crashable):
    provider = MailProvider()
    server = crashable(args=["--enable-local-auth"], env={
        "RESEND_API_KEY": "re_123", "RHIZOME_RESEND_ADDRESS": provider.url,
        "HYPHA_VERIFICATION_FROM_EMAIL": "Lab <lab@lab.org>", "HYPHA_VERIFICATION_RESEND_THROTTLE": "0",
        "HYPHA_VERIFICATION_MAX_ATTEMPTS": "1"})
    server.start()
    async with connect_to_server({"server_url": server.url}) as api:
        login = await api.get_service(SERVICE)
        email = fresh_email()
        assert "dev_code" not in await login.signup(name="Ann", email=email, password=PASSWORD)
        assert await login.resend_code(email=email) == {"success": True, "email": email}
        (authorization, _), (_, mail) = provider.mails
        assert authorization == "Bearer re_123"
        assert (mail["from"], mail["to"]) == ("Lab <lab@lab.org>", [email])
        code = mail["text"].split("code is ")[1][:6]
        made = await login.verify_email(email=email, code=code)
        answer = await login.login(email=email, password=PASSWORD)
        own = await connect_to_server({"server_url": server.url, "token": answer["token"]})
        assert made["success"] and own.config.user["email"] == email
        await own.disconnect()
        error = refused(await login.signup(name="Eve", email="refuse@lab.org", password=PASSWORD))
        assert error == "Failed to send the verification email"
        assert "No pending" in refused(await login.resend_code(email="refuse@lab.org"))
    assert code not in server.tail(10_000)
    provider.http.shutdown()
