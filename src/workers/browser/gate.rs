//! The way out for pages whose app may reach certain hosts only: a proxy on this machine, one for each browser
//! context. Chromium sends everything through it, page, workers and WebSockets alike.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

use super::hosts::{Allowed, split_port};

/// Longest head of a request.
const MAX_HEAD: usize = 64 << 10;
/// How long a host may take to be reached.
const CONNECT: Duration = Duration::from_secs(20);
/// How long Chromium may take for the head of a request.
const HEAD: Duration = Duration::from_secs(60);
/// Connections through one gate at a time. Chromium itself keeps below.
const CONNECTIONS: usize = 256;

/// Hears which host was refused.
type Refused = Arc<dyn Fn(&str, u16) + Send + Sync>;

/// A proxy for one browser context; closed when dropped.
pub(super) struct Gate {
    /// Where it listens, `127.0.0.1:port`.
    pub address: String,
    listening: JoinHandle<()>,
    refused: Arc<Mutex<Option<Refused>>>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// What the gate lets pass.
struct Rules {
    allowed: Allowed,
    /// `host:port` of this server, by all its names.
    own: Vec<(String, u16)>,
    refused: Arc<Mutex<Option<Refused>>>,
}

impl Gate {
    /// Opens a gate to the `allowed` hosts and the servers at `own`.
    pub async fn open(allowed: Allowed, own: &[String]) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let refused = Arc::new(Mutex::new(None));
        let own = own.iter().filter_map(|url| place(url)).collect();
        let rules = Arc::new(Rules {
            allowed,
            own,
            refused: refused.clone(),
        });
        let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
        let listening = tokio::spawn(async move {
            let mut guests = tokio::task::JoinSet::new();
            // The guests leave with the gate.
            loop {
                let Ok(slot) = room.clone().acquire_owned().await else {
                    return;
                };
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                while guests.try_join_next().is_some() {}
                let rules = rules.clone();
                guests.spawn(async move {
                    // A connection that breaks is the page's affair.
                    let _ = pass(stream, &rules).await;
                    drop(slot);
                });
            }
        });
        Ok(Self {
            address,
            listening,
            refused,
        })
    }

    /// Names who hears of refusals.
    pub fn on_refusal(&self, heard: impl Fn(&str, u16) + Send + Sync + 'static) {
        *self.refused.lock() = Some(Arc::new(heard));
    }
}

impl Rules {
    fn allow(&self, host: &str, port: u16) -> bool {
        let own = self
            .own
            .iter()
            .any(|(name, at)| name.eq_ignore_ascii_case(host) && *at == port);
        let allowed = own || self.allowed.allows(host, port);
        if !allowed && let Some(refused) = self.refused.lock().clone() {
            refused(host, port);
        }
        allowed
    }
}

fn place(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    let host = url
        .host_str()?
        .trim_matches(['[', ']'])
        .to_ascii_lowercase();
    Some((host, url.port_or_known_default()?))
}

/// Serves one connection of the browser: a tunnel, or one plain request.
async fn pass(mut stream: TcpStream, rules: &Rules) -> std::io::Result<()> {
    let Ok(read) = tokio::time::timeout(HEAD, read_head(&mut stream)).await else {
        return Ok(());
    };
    let Some((head, rest)) = read? else {
        return Ok(());
    };
    let Some(request) = Request::parse(&head) else {
        return refuse(&mut stream, "400 Bad Request").await;
    };
    if !rules.allow(&request.host, request.port) {
        return refuse(&mut stream, "403 Forbidden").await;
    }
    let target = TcpStream::connect((request.host.as_str(), request.port));
    let Ok(Ok(mut target)) = tokio::time::timeout(CONNECT, target).await else {
        return refuse(&mut stream, "502 Bad Gateway").await;
    };
    match request.forward {
        Some(head) => target.write_all(head.as_bytes()).await?,
        None => {
            stream
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await?
        }
    }
    target.write_all(&rest).await?;
    copy_bidirectional(&mut stream, &mut target).await.map(drop)
}

async fn refuse(stream: &mut TcpStream, status: &str) -> std::io::Result<()> {
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await
}

/// The head of a request, and what came with it.
async fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok(String::from_utf8(read).ok().map(|head| (head, rest)));
        }
        if read.len() > MAX_HEAD || stream.read_buf(&mut read).await? == 0 {
            return Ok(None);
        }
    }
}

/// Where a request wants to go.
#[derive(Debug, PartialEq)]
struct Request {
    host: String,
    port: u16,
    /// The head as the target gets it; none for a tunnel.
    forward: Option<String>,
}

impl Request {
    fn parse(head: &str) -> Option<Self> {
        let (first, rest) = head.split_once("\r\n")?;
        let mut words = first.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if method == "CONNECT" {
            let (host, port) = split_port(target)?;
            return Some(Self {
                host: host.to_owned(),
                port: port?,
                forward: None,
            });
        }
        let (host, port) = place(target).filter(|_| target.starts_with("http://"))?;
        let path = target.splitn(4, '/').nth(3).unwrap_or_default();
        // Another request on this connection might be for another host, so there is none.
        let ours = |line: &&str| {
            let name = line
                .split(':')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            !matches!(
                name.as_str(),
                "connection" | "proxy-connection" | "proxy-authorization" | "keep-alive"
            )
        };
        let lines: Vec<&str> = rest
            .split("\r\n")
            .filter(|line| !line.is_empty())
            .filter(ours)
            .collect();
        let forward = format!(
            "{method} /{path} {version}\r\n{}\r\nConnection: close\r\n\r\n",
            lines.join("\r\n")
        );
        Some(Self {
            host,
            port,
            forward: Some(forward),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_and_plain_requests() {
        let tunnel = Request::parse("CONNECT [::1]:443 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!(
            tunnel,
            Request {
                host: "::1".into(),
                port: 443,
                forward: None
            }
        );
        let plain = Request::parse(
            "GET http://Example.org/a/b?c HTTP/1.1\r\nHost: example.org\r\nProxy-Connection: keep-alive\r\n\r\n",
        );
        let forward = "GET /a/b?c HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";
        assert_eq!(
            plain.unwrap(),
            Request {
                host: "example.org".into(),
                port: 80,
                forward: Some(forward.into())
            }
        );
        for head in [
            "GET /path HTTP/1.1\r\n\r\n",
            "CONNECT host HTTP/1.1\r\n\r\n",
            "GET ftp://x/ HTTP/1.1\r\n\r\n",
            "nonsense",
        ] {
            assert_eq!(Request::parse(head), None, "{head}");
        }
    }

    async fn ask(gate: &Gate, head: &str) -> String {
        let mut stream = TcpStream::connect(&gate.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn strangers_are_refused_and_heard_of() {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = target.local_addr().unwrap().port();
        let own = format!("http://127.0.0.1:{port}/base");
        let gate = Gate::open(Allowed::nothing(), &[own]).await.unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let list = heard.clone();
        gate.on_refusal(move |host, port| list.lock().push(format!("{host}:{port}")));
        assert_eq!(
            ask(&gate, &format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n")).await,
            "HTTP/1.1 200"
        );
        assert_eq!(
            ask(&gate, "CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n").await,
            "HTTP/1.1 403"
        );
        assert_eq!(
            ask(&gate, "GET http://example.org/ HTTP/1.1\r\n\r\n").await,
            "HTTP/1.1 403"
        );
        assert_eq!(*heard.lock(), ["127.0.0.1:1", "example.org:80"]);
    }
}
