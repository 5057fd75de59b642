//! `zsseg demo`: a page to try a model with, served to this machine.
//!
//! The main thread owns the segmenter and does one call after another. A connection has a thread
//! of its own, which reads the request and writes the answer, so that a slow client keeps nobody
//! waiting.

mod api;
mod decode;
mod http;
mod studio;

use super::failure::{Usage, of_panic};
use super::model::{ModelFile, arena_for, clock};
use super::{Outcome, picture};
use crate::limits::{MAX_FRAME_SIDE, MAX_THREADS};
use crate::segmenter::Segmenter;
use crate::threads::Workers;
use anyhow::{Context, Error, Result};
use api::{Api, Call};
use http::{Connection, Failure, Response};
use sha2::{Digest, Sha256};
use std::format;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::string::{String, ToString};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;
use std::vec::Vec;
use studio::Studio;

const PAGE: &str = include_str!("demo/page.html");
/// Most connections at a time; each may hold a picture file.
const MAX_CONNECTIONS: usize = 16;
/// Pause after a connection that could not be accepted, as when there are no file handles left.
const PAUSE: Duration = Duration::from_millis(50);

/// Try a model in the browser: drop a picture, name classes, move sliders, see the mask.
///
/// Only this machine can reach the page. Ctrl-C ends it.
#[derive(clap::Args)]
pub struct Args {
    /// A picture that the page offers as a sample.
    #[arg(value_name = "PICTURE")]
    sample: Option<PathBuf>,
    /// The model. Default: as for `zsseg segment`.
    #[arg(short, long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Address and port of the page; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Allow an address that other machines can reach: everyone there can use the page.
    #[arg(long)]
    allow_remote: bool,
    /// Threads for the network, the calling one among them.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_THREADS)))]
    threads: u32,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    check_address(args)?;
    let sample = args.sample.as_deref().map(picture::read).transpose()?;
    let file = ModelFile::read(args.bundle.as_deref())?;
    let bundle = file.bundle()?;
    let limits = studio::limits(&bundle, MAX_FRAME_SIDE, args.threads);
    let mut memory = arena_for(&bundle, &limits)?;
    let workers = Workers::new(limits.threads)?;
    let mut segmenter = Segmenter::new(&bundle, &limits, memory.as_mut_slice())
        .map_err(|error| Error::new(error).context(file.path.display().to_string()))?;
    segmenter.set_thread_pool(Some(&workers));
    segmenter.set_clock(clock());
    let api = Api { studio: Studio::new(segmenter, limits.fusion), sample };

    let listen = || -> std::io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind(args.listen)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    let (listener, address) = listen().with_context(|| format!("listening at {}", args.listen))?;
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().spawn(move || accept(&listener, &sender))?;
    writeln!(out, "{} is at http://{address}/ (Ctrl-C ends it)", bundle.model_name())?;
    out.flush()?;
    work(api, &receiver);
    Ok(Outcome::Done)
}

fn check_address(args: &Args) -> Result<()> {
    if args.listen.ip().is_loopback() {
        return Ok(());
    }
    let address = args.listen;
    if !args.allow_remote {
        let text =
            format!("{address} is not this machine alone; add --allow-remote if you mean it");
        return Err(Usage(text).into());
    }
    // Where standard error is closed there is nobody to warn.
    let _ = writeln!(
        std::io::stderr(),
        "warning: everyone who can reach {address} can use the page and see its picture; there is \
         no password and no encryption"
    );
    Ok(())
}

/// A call with its body, and where the answer goes.
struct Job {
    call: Call,
    body: Vec<u8>,
    reply: Sender<Response>,
}

/// Does the calls, until nobody can send any more.
fn work(mut api: Api<'_>, jobs: &Receiver<Job>) {
    for Job { call, body, reply } in jobs {
        let answer = catch_unwind(AssertUnwindSafe(|| api.answer(&call, &body)));
        let answer = answer.unwrap_or_else(|panic| {
            // What the picture's planes hold is unknown.
            api.studio.clear();
            Err(Failure::new(500, of_panic(panic.as_ref()).to_string()))
        });
        // The connection may be gone by now.
        let _ = reply.send(answer.unwrap_or_else(|failure| failure.response()));
    }
}

/// Gives every connection a thread, as long as there are not too many.
fn accept(listener: &TcpListener, jobs: &Sender<Job>) {
    let policy: Arc<str> = content_security_policy(PAGE).into();
    let places = Arc::new(());
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            thread::sleep(PAUSE);
            continue;
        };
        let (jobs, policy, place) = (jobs.clone(), policy.clone(), places.clone());
        let crowded = Arc::strong_count(&places) > MAX_CONNECTIONS + 1;
        let serve = move || {
            // A panic costs this connection only.
            let _ = catch_unwind(AssertUnwindSafe(|| serve(stream, &jobs, &policy, crowded)));
            drop(place);
        };
        if thread::Builder::new().spawn(serve).is_err() {
            thread::sleep(PAUSE);
        }
    }
}

fn serve(stream: TcpStream, jobs: &Sender<Job>, policy: &str, crowded: bool) {
    let mut connection = Connection::new(stream);
    let answer = match crowded {
        true => Err(Failure::new(503, "too many connections")),
        false => answer(&mut connection, jobs),
    };
    match answer {
        Ok(None) => {}
        Ok(Some(response)) => connection.answer(&response, policy),
        Err(failure) => connection.answer(&failure.response(), policy),
    }
}

/// Reads a request and has it done; `None` if there was none.
fn answer(connection: &mut Connection, jobs: &Sender<Job>) -> Result<Option<Response>, Failure> {
    let Some(head) = connection.read_head()? else { return Ok(None) };
    let call = Call::of(&head)?;
    let body = connection.read_body(&head, call.max_body_bytes())?;
    if call == Call::Page {
        return Ok(Some(Response::ok("text/html; charset=utf-8", PAGE.into())));
    }
    let ended = || Failure::new(503, "the server is about to end");
    let (reply, answer) = mpsc::channel();
    jobs.send(Job { call, body, reply }).map_err(|_| ended())?;
    answer.recv().map(Some).map_err(|_| ended())
}

/// Allows the page its own script, its own style and requests to this server, and nothing else.
fn content_security_policy(page: &str) -> String {
    let hash = |tag: &str| {
        let text = page.split_once(&format!("<{tag}>")).map_or("", |(_, rest)| rest);
        let text = text.split_once(&format!("</{tag}>")).map_or("", |(text, _)| text);
        base64(&Sha256::digest(text))
    };
    let (script, style) = (hash("script"), hash("style"));
    format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, &byte| (bits << 8) | usize::from(byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * place)) & 63).copied().unwrap_or(b'=');
            text.push(if place <= group.len() { digit.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_published_one() {
        let known =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, wanted) in known {
            assert_eq!(base64(plain.as_bytes()), wanted);
        }
    }
}
