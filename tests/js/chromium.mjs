// The Chromium of this machine, as the server finds it.
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

const NAMES = ["chromium-headless-shell", "chrome-headless-shell", "headless_shell", "chromium", "chromium-browser",
  "google-chrome", "google-chrome-stable"];
const SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
  "--disable-background-networking", "--disable-component-update"];

export function launch() {
  const places = NAMES.flatMap((name) => process.env.PATH.split(delimiter).map((place) => join(place, name)));
  const executablePath = process.env.HYPHA_CHROMIUM_PATH ?? places.find(existsSync);
  return chromium.launch({ executablePath, args: SWITCHES });
}
