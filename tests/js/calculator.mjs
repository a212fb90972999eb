// The calculator of the Server Apps guide and its way from install to uninstall, for Node and for pages alike.
export const source = `
api.export({
    async setup(){
        console.log("App initialized");
    },
    async add(a, b){
        return a + b;
    },
    async echo(message){
        return message;
    }
})
`;

// Runs in a page as well: it may use nothing from outside of itself.
export async function useCalculator(connectToServer, { url, token, source }) {
  const api = await connectToServer({ server_url: url, token });
  const controller = await api.getService("public/server-apps");
  const messages = [];
  const app = await controller.install({
    source,
    manifest: { name: "My Calculator", type: "web-worker", version: "1.0.0" },
    overwrite: true,
    progress_callback: (message) => { messages.push(message.message); },
    _rkwargs: true,
  });
  const session = await controller.start(
    { app_id: app.id, wait_for_service: "default", timeout: 30, _rkwargs: true });
  const calculator = await api.getService(`default@${app.id}`);
  const result = {
    workspace: api.config.workspace,
    sum: await calculator.add(5, 3),
    echo: await calculator.echo("Hello, World!"),
    apps: (await controller.list_apps()).length,
    running: (await controller.list_running()).map((one) => one.id),
    session: session.id,
    messages,
  };
  await controller.stop(session.id);
  await controller.uninstall(app.id);
  result.left = (await controller.list_apps()).length + (await controller.list_running()).length;
  await api.disconnect();
  return result;
}
