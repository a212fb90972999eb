// Shows what a workspace offers; listens on the workspace's events to stay true.
const workspace = document.body.dataset.workspace;
// The page is at <server>/<workspace>/, and the server may be below a path.
const server = new URL("..", location.href).href.replace(/\/$/, "");
const token = localStorage.getItem("hypha_token");
const headers = token ? { Authorization: `Bearer ${token}` } : {};

function row(label, href, kind) {
  const item = document.createElement("li");
  const name = document.createElement(href ? "a" : "code");
  name.textContent = label;
  if (href) name.href = href;
  const tag = document.createElement("span");
  tag.className = "kind";
  tag.textContent = kind || "";
  item.append(name, tag);
  return item;
}

function note(list, text) {
  const item = document.createElement("li");
  item.className = "note";
  item.textContent = text;
  list.replaceChildren(item);
}

async function show(id, address, toRow, nothing) {
  const list = document.getElementById(id);
  const answer = await fetch(address, { headers });
  const body = await answer.json();
  if (!answer.ok) return note(list, body.detail || `Error ${answer.status}`);
  if (body.length === 0) return note(list, nothing);
  list.replaceChildren(...body.map(toRow));
}

function refresh() {
  const base = `${server}/${encodeURIComponent(workspace)}`;
  const service = (info) => {
    const pages = ["functions", "asgi"].includes(info.type) ? "apps" : "services";
    return row(info.id, `${base}/${pages}/${info.id}`, info.type);
  };
  const app = (info) => row(info.manifest?.name || info.id, null, info.manifest?.type);
  return Promise.all([
    show("services", `${base}/services/`, service, "No service that you may see is running."),
    show("apps", `${base}/apps`, app, "No app is installed."),
  ]);
}

async function follow() {
  const who = document.getElementById("who");
  if (!token) {
    who.innerHTML = 'You are not logged in. <a href="../login">Log in</a> to see what is yours.';
    return;
  }
  try {
    const api = await hyphaWebsocketClient.connectToServer({
      server_url: server, workspace, token,
    });
    who.textContent = `Logged in as ${api.config.user.email || api.config.user.id}.`;
    for (const event of ["service_added", "service_removed"]) api.on(event, refresh);
    await api.subscribe(["service_added", "service_removed"]);
  } catch (error) {
    who.textContent = `Not connected: ${error.message || error}`;
  }
}

refresh();
follow();
