//! How Chromium is started.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::BrowserError;
use super::options::BrowserOptions;

/// Program names tried on the PATH, best first: the headless shell makes pages in a third of the time and takes less
/// memory.
const PROGRAMS: [&str; 7] = [
    "chromium-headless-shell",
    "chrome-headless-shell",
    "headless_shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Chromium features that cost processes or get in the way. The omnibox ones add a hidden pair of pages to every
/// browser context; out-of-process sandboxed frames would hide their console from their page.
const DISABLED_FEATURES: &str = "TranslateUI,WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup,IsolateSandboxedIframes,\
HttpsUpgrades,HttpsFirstBalancedModeAutoEnable";

/// Switches that every launch gets. Together: headless, without first-run business, without network traffic of the
/// browser's own, and without slowing down pages that nobody looks at.
const SWITCHES: [&str; 29] = [
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-startup-window",
    "--no-first-run",
    "--no-default-browser-check",
    "--enable-automation",
    "--hide-scrollbars",
    "--mute-audio",
    "--window-size=1280,720",
    "--lang=en-US",
    "--password-store=basic",
    "--force-color-profile=srgb",
    "--metrics-recording-only",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-breakpad",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-hang-monitor",
    "--disable-popup-blocking",
    "--disable-quic",
    "--disable-renderer-backgrounding",
    "--disable-site-isolation-trials",
    "--disable-sync",
];

/// No script that only starts a program is longer, in bytes.
const LONGEST_WRAPPER: u64 = 4096;

/// Makes every name and address but this machine's own unknown.
const OFFLINE: &str = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1";

/// Lets WebRTC take no way that a proxy does not watch.
const PROXIED_WEBRTC: &str = "--force-webrtc-ip-handling-policy=disable_non_proxied_udp";

/// How Chromium is found, started and limited.
#[derive(Debug, Clone)]
pub struct BrowserSettings {
    /// The program; looked up on the PATH when absent.
    pub executable: Option<PathBuf>,
    /// Whether to do without Chromium's own sandbox; when absent, exactly for root, for whom it does not start.
    pub no_sandbox: Option<bool>,
    /// Directory in which every launch makes a profile directory of its own, removed at its end.
    pub profile_dir: PathBuf,
    /// Most pages open at a time.
    pub max_sessions: usize,
    /// What pages get to see, where their app does not ask for something else.
    pub options: BrowserOptions,
    /// Addresses of this server, which every page may reach; first the one that its pages come from.
    pub server_urls: Vec<String>,
    /// Whether pages reach this machine only.
    pub offline: bool,
    /// How long the browser may take to come up.
    pub launch_timeout: Duration,
    /// How long one command (a screenshot, a new page) may take.
    pub call_timeout: Duration,
}

impl Default for BrowserSettings {
    fn default() -> Self {
        Self {
            executable: None,
            no_sandbox: None,
            profile_dir: std::env::temp_dir().join("rhizome-browser"),
            max_sessions: 20,
            options: BrowserOptions::default(),
            server_urls: Vec::new(),
            offline: false,
            launch_timeout: Duration::from_secs(60),
            call_timeout: Duration::from_secs(30),
        }
    }
}

impl BrowserSettings {
    /// The program to start.
    pub(crate) fn program(&self) -> Result<PathBuf, BrowserError> {
        if let Some(path) = &self.executable {
            return Ok(unwrapped(path));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        PROGRAMS
            .iter()
            .flat_map(|name| std::env::split_paths(&path).map(move |dir| dir.join(name)))
            .find(|candidate| candidate.is_file())
            .map(|candidate| unwrapped(&candidate))
            .ok_or(BrowserError::NoExecutable)
    }

    /// Whether Chromium gets its own sandbox.
    pub(crate) fn has_sandbox(&self) -> bool {
        !self.no_sandbox.unwrap_or_else(is_root)
    }

    /// The command line after the program, for a profile in `profile`.
    pub(crate) fn arguments(&self, profile: &Path) -> Vec<String> {
        let mut arguments: Vec<String> = SWITCHES.iter().map(|switch| switch.to_string()).collect();
        arguments.push(format!("--disable-features={DISABLED_FEATURES}"));
        arguments.push(format!("--user-data-dir={}", profile.display()));
        if !self.has_sandbox() {
            arguments.push("--no-sandbox".to_owned());
        }
        if self.options.disable_web_security {
            arguments.push("--disable-web-security".to_owned());
        }
        if self.offline {
            arguments.push(OFFLINE.to_owned());
        }
        if !self.options.allowed(&self.options).is_everything() {
            arguments.push(PROXIED_WEBRTC.to_owned());
        }
        arguments.extend(self.options.launch_args.iter().cloned());
        arguments
    }
}

/// The program that the script at `path` starts, if starting it is all that the script does; else `path` itself.
///
/// Such a shell (Debian's `chromium-headless-shell`) would stand between the server and Chromium: it is the shell
/// that would hear of the server's death, and be killed in Chromium's place.
fn unwrapped(path: &Path) -> PathBuf {
    let small = std::fs::metadata(path).is_ok_and(|file| file.len() <= LONGEST_WRAPPER);
    let script = small
        .then(|| std::fs::read_to_string(path).ok())
        .flatten()
        .unwrap_or_default();
    started_by(&script)
        .filter(|program| program.is_file())
        .unwrap_or_else(|| path.to_owned())
}

fn started_by(script: &str) -> Option<PathBuf> {
    let rest = script.strip_prefix("#!")?;
    let mut commands = rest
        .lines()
        .skip(1)
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let program = commands.next()?.strip_suffix(r#" "$@""#)?;
    let plain = program.starts_with('/')
        && !program.contains(|c: char| c.is_whitespace() || "\"'$`;&|<>()*?\\".contains(c));
    (plain && commands.next().is_none()).then(|| program.into())
}

fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_program_wins_over_the_path() {
        let settings = BrowserSettings {
            executable: Some("/opt/chrome".into()),
            ..Default::default()
        };
        assert_eq!(settings.program(), Ok(PathBuf::from("/opt/chrome")));
    }

    #[test]
    fn a_script_that_only_starts_a_program_is_passed_over() {
        let started = |script: &str| started_by(script);
        let debian = "#!/bin/sh -e\n\n/usr/lib/chromium/chromium-headless-shell \"$@\"\n";
        assert_eq!(
            started(debian),
            Some("/usr/lib/chromium/chromium-headless-shell".into())
        );
        for other in [
            "#!/bin/sh\nFLAGS=1\n/opt/chrome \"$@\"\n",
            "#!/bin/sh\nexec /opt/chrome \"$@\"\n",
            "#!/bin/sh\n$HOME/chrome \"$@\"\n",
            "#!/bin/sh\n/opt/chrome --flag \"$@\"\n",
            "/opt/chrome \"$@\"",
            "",
        ] {
            assert_eq!(started(other), None, "{other}");
        }
        assert_eq!(unwrapped(Path::new("/bin/sh")), Path::new("/bin/sh"));
    }

    #[test]
    fn the_sandbox_is_a_choice() {
        let has = |settings: &BrowserSettings| {
            settings
                .arguments("/tmp/p".as_ref())
                .contains(&"--no-sandbox".to_owned())
        };
        assert!(has(&BrowserSettings {
            no_sandbox: Some(true),
            ..Default::default()
        }));
        assert!(!has(&BrowserSettings {
            no_sandbox: Some(false),
            ..Default::default()
        }));
        assert_eq!(has(&BrowserSettings::default()), is_root());
    }
}
