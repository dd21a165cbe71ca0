//! What runs in the pods of tests: a correct small server, or the first process of a pod.
//!
//! `pod serve` answers `/` with the value of `VERSION`, and `/readyz`. Told to end, it finishes what it
//! has begun, takes nothing new, and ends. `pod pause` holds a pod's namespaces.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const PORT: u16 = 8080;

/// A client that says nothing for so long is not waited for.
const CLIENT_WAIT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        Some("serve") => serve(),
        Some("pause") => told_to_end(),
        _ => Err(io::Error::other("usage: pod serve|pause")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pod: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for the signal.
fn told_to_end() -> io::Result<()> {
    Signals::new([SIGTERM, SIGINT])?.forever().next();
    Ok(())
}

fn serve() -> io::Result<()> {
    let version = std::env::var("VERSION").unwrap_or_else(|_| "none".to_owned());
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    let ends = Arc::new(AtomicBool::new(false));
    let knows = ends.clone();
    thread::spawn(move || {
        told_to_end()?;
        knows.store(true, Ordering::SeqCst);
        // One connection more, so that it is noticed.
        TcpStream::connect(("127.0.0.1", PORT))
    });
    let mut begun = Vec::new();
    for client in listener.incoming() {
        if ends.load(Ordering::SeqCst) {
            break;
        }
        begun.retain(|client: &thread::JoinHandle<_>| !client.is_finished());
        let version = version.clone();
        begun.push(thread::spawn(move || answer(&client?, &version)));
    }
    drop(listener);
    for client in begun {
        // A client that has gone is not served.
        let _ = client.join();
    }
    Ok(())
}

/// Answers one request and closes.
fn answer(client: &TcpStream, version: &str) -> io::Result<()> {
    client.set_read_timeout(Some(CLIENT_WAIT))?;
    let mut lines = BufReader::new(client).lines();
    let first = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
    // All of the request is read: closing on unread bytes is a reset to the client.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let (status, body) = match first.split(' ').nth(1) {
        Some("/") => ("200 OK", version),
        Some("/readyz") => ("200 OK", "ready"),
        _ => ("404 Not Found", "ask for / or /readyz"),
    };
    let length = body.len();
    let mut client = client;
    write!(client, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}
