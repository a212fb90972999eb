//! `rhizome serve` as somebody starts it.

use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a slow machine; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_secs(30);

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rhizome-cli-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn serve(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhizome"));
    command
        .current_dir(&folder.0)
        .env_clear()
        .arg("serve")
        .arg(format!("--data-dir={}", folder.0.join("data").display()));
    command
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

struct Running(Child);

impl Running {
    fn start(command: &mut Command, port: u16) -> Self {
        let child = command
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut running = Running(child);
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(running.0.try_wait().unwrap().is_none(), "the server ended");
            assert!(began.elapsed() < DEADLINE, "the server does not listen");
            std::thread::yield_now();
        }
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn print_config_tells_where_values_come_from_and_hides_secrets() {
    let folder = Folder::new("print");
    let output = run(serve(&folder)
        .args(["--port=1234", "--print-config"])
        .env("HYPHA_ROOT_TOKEN", "very-secret-very-secret-very-secret-1")
        .env("HYPHA_HOST", "0.0.0.0"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    assert!(text.contains("server.port = 1234  # flag --port"), "{text}");
    assert!(
        text.contains("server.host = \"0.0.0.0\"  # environment HYPHA_HOST"),
        "{text}"
    );
    assert!(text.contains("log.access = false  # default"), "{text}");
    assert!(!text.contains("very-secret"), "{text}");
}

#[test]
fn mistakes_end_with_one_clear_line() {
    let folder = Folder::new("mistakes");
    for (flag, text) in [
        ("--prot=1", "--port"),
        ("--port=many", "server.port must be a whole number"),
        ("--root-token=short", "auth.root_token"),
        ("--log-level=loud=x=y", "log.level"),
        (
            "--config=missing.toml",
            "cannot read the config file missing.toml",
        ),
    ] {
        let output = run(serve(&folder).arg(flag));
        assert!(!output.status.success(), "{flag}");
        assert!(
            stderr(&output).contains(text),
            "{flag}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_taken_port_is_named() {
    let folder = Folder::new("port");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = run(serve(&folder).arg(format!("--port={port}")));
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let folder = Folder::new("second");
    let _first = Running::start(&mut serve(&folder), free_port());
    let output = run(serve(&folder).arg(format!("--port={}", free_port())));
    assert!(!output.status.success());
    assert!(stderr(&output).contains("data"), "{}", stderr(&output));
}

#[test]
fn sigterm_ends_the_server_in_order() {
    let folder = Folder::new("term");
    let mut running = Running::start(&mut serve(&folder), free_port());
    let pid = running.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let began = Instant::now();
    let status = loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < DEADLINE, "the server does not end");
        std::thread::yield_now();
    };
    let mut log = String::new();
    running
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert!(status.success(), "{log}");
    assert!(log.contains("stopping"), "{log}");
}

#[test]
fn flags_without_a_subcommand_mean_serve() {
    let folder = Folder::new("bare");
    let output = run(Command::new(env!("CARGO_BIN_EXE_rhizome"))
        .current_dir(&folder.0)
        .args(["--port=77", "--print-config"]));
    assert!(String::from_utf8_lossy(&output.stdout).contains("server.port = 77"));
}
