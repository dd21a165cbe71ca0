//! Requests at a steady rate, as strict a client as there is: a connection for each, no retry.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Clients at once.
const CLIENTS: u32 = 4;

/// Between two requests of a client: with four of them 80 requests a second, which leaves a machine of
/// two cores free to roll what is tested.
const PAUSE: Duration = Duration::from_millis(50);

/// When a request has failed.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Requests that are under way, from the network of the thread that started them.
#[derive(Debug)]
pub struct Load {
    ends: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Request>>>,
}

#[derive(Debug)]
struct Request {
    sent: Instant,
    answered: Instant,
    /// The body of a success.
    answer: Result<String, String>,
}

/// What became of the requests, in the order in which they were sent.
#[derive(Debug)]
pub struct Outcome(Vec<Request>);

impl Load {
    /// Starts to send requests for `/` to this address.
    pub fn start(target: SocketAddr) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let ends = ends.clone();
            thread::spawn(move || {
                let mut requests = Vec::new();
                while !ends.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let answer = Self::ask(target).map_err(|error| error.to_string());
                    requests.push(Request { sent, answered: Instant::now(), answer });
                    thread::sleep(PAUSE);
                }
                requests
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { ends, clients }
    }

    /// Ends, and tells what became of all requests.
    pub fn stop(self) -> Outcome {
        self.ends.store(true, Ordering::Relaxed);
        let done = self.clients.into_iter().map(|client| client.join().expect("a client does not panic"));
        let mut requests: Vec<_> = done.flatten().collect();
        requests.sort_by_key(|request| request.sent);
        Outcome(requests)
    }

    /// Sends one request, and gives the body of its answer.
    ///
    /// # Errors
    /// What a client would count as a failure: no connection, no answer in time, or not status 200.
    pub fn ask(target: SocketAddr) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&target, ANSWER_WAIT)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: bed.test\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(head.lines().next().unwrap_or_default().to_owned()));
        }
        Ok(body.trim().to_owned())
    }
}

impl Outcome {
    /// How many requests there were.
    pub fn sent(&self) -> usize {
        self.0.len()
    }

    /// The failures, each with its time since the first request.
    pub fn failed(&self) -> Vec<(Duration, &str)> {
        let since = |request: &Request| request.sent - self.0[0].sent;
        self.0
            .iter()
            .filter_map(|request| Some((since(request), request.answer.as_ref().err()?.as_str())))
            .collect()
    }

    /// When this answer came for the first time and for the last.
    pub fn answered(&self, body: &str) -> Option<(Instant, Instant)> {
        let mut times =
            self.0.iter().filter(|request| request.answer.as_deref() == Ok(body)).map(|r| r.answered);
        let first = times.next()?;
        Some((first, times.max().unwrap_or(first)))
    }
}
