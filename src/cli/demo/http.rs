//! As much of HTTP as a page on the same machine needs: one request per connection, sizes and
//! times capped. `httparse` reads the request's head.

use std::borrow::ToOwned;
use std::format;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::string::{String, ToString};
use std::time::{Duration, Instant};
use std::vec::Vec;

/// Largest request line with headers, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most headers.
const MAX_HEADERS: usize = 64;
/// A request must have arrived after this time, and a response have been taken.
const MAX_TIME: Duration = Duration::from_secs(30);
/// What is left of a refused request is read for this long, so that the client sees the answer.
const MAX_LINGER: Duration = Duration::from_secs(1);
/// The other end may be silent for this long.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// An answer.
pub struct Response {
    /// 200 and so on.
    pub status: u16,
    /// Media type of the body.
    pub content_type: &'static str,
    /// Header lines beyond those that all answers have, each with its line end.
    pub headers: String,
    /// The content.
    pub body: Vec<u8>,
}

impl Response {
    /// Everything is well.
    pub fn ok(content_type: &'static str, body: Vec<u8>) -> Response {
        Response { status: 200, content_type, headers: String::new(), body }
    }

    /// A JSON document.
    pub fn json(status: u16, value: &serde_json::Value) -> Response {
        let body = format!("{value}\n").into_bytes();
        Response { status, content_type: "application/json", headers: String::new(), body }
    }
}

/// Why a request is not served.
#[derive(Debug)]
pub struct Failure {
    /// 400 and so on.
    pub status: u16,
    /// For people.
    pub text: String,
    /// Methods that the path has, for status 405.
    pub allow: Option<&'static str>,
    /// Words that may have been meant.
    pub suggestions: Vec<String>,
}

impl Failure {
    /// A failure with this status.
    pub fn new(status: u16, text: impl Into<String>) -> Failure {
        Failure { status, text: text.into(), allow: None, suggestions: Vec::new() }
    }

    /// As the client sees it.
    pub fn response(&self) -> Response {
        let value = serde_json::json!({ "error": self.text, "suggestions": self.suggestions });
        let headers = self.allow.map(|allow| format!("Allow: {allow}\r\n"));
        Response { headers: headers.unwrap_or_default(), ..Response::json(self.status, &value) }
    }
}

/// What a request asks for, before its body is read.
pub struct Head {
    /// `GET` and so on.
    pub method: String,
    /// The path without a query, still percent-encoded.
    pub path: String,
    length: usize,
    expects_continue: bool,
}

/// A connection that one request is read from.
pub struct Connection {
    stream: TcpStream,
    /// Bytes of the body that came with the head.
    rest: Vec<u8>,
    deadline: Instant,
}

impl Connection {
    /// The clock of the request runs from now on.
    pub fn new(stream: TcpStream) -> Connection {
        Connection { stream, rest: Vec::new(), deadline: Instant::now() + MAX_TIME }
    }

    /// Reads up to the empty line after the headers.
    ///
    /// # Errors
    /// 400, 403, 408, 411, 413 or 431; `None` if the client went without a word.
    pub fn read_head(&mut self) -> Result<Option<Head>, Failure> {
        let mut bytes = Vec::new();
        loop {
            if bytes.len() >= MAX_HEAD_BYTES {
                return Err(Failure::new(431, "the request's headers are too long"));
            }
            match self.read_some(&mut bytes)? {
                0 if bytes.is_empty() => return Ok(None),
                0 => return Err(Failure::new(400, "the request ends within its headers")),
                _ => {}
            }
            if let Some((head, end)) = parse(&bytes)? {
                self.rest = bytes.split_off(end);
                return Ok(Some(head));
            }
        }
    }

    /// Reads the body.
    ///
    /// # Errors
    /// 413 for more than `max_bytes`, before any is read; 400 if it ends early; 408.
    pub fn read_body(&mut self, head: &Head, max_bytes: usize) -> Result<Vec<u8>, Failure> {
        if head.length > max_bytes {
            let text = format!("the body has {} bytes, at most {max_bytes} are taken", head.length);
            return Err(Failure::new(413, text));
        }
        if head.expects_continue && self.rest.len() < head.length {
            let told = self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
            told.map_err(|_| Failure::new(400, "the client went away"))?;
        }
        let mut body = core::mem::take(&mut self.rest);
        while body.len() < head.length {
            if self.read_some(&mut body)? == 0 {
                let (found, wanted) = (body.len(), head.length);
                let text = format!("the body ends after {found} of {wanted} bytes");
                return Err(Failure::new(400, text));
            }
        }
        body.truncate(head.length);
        Ok(body)
    }

    fn read_some(&mut self, bytes: &mut Vec<u8>) -> Result<usize, Failure> {
        let late = || Failure::new(408, "the request took too long to arrive");
        let mut buffer = [0; 16 * 1024];
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || self.stream.set_read_timeout(Some(left.min(MAX_SILENCE))).is_err() {
            return Err(late());
        }
        let count = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(late()),
                Err(_) => return Err(Failure::new(400, "the connection broke")),
                Ok(count) => break count,
            }
        };
        bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// Writes the answer and ends the connection.
    pub fn answer(mut self, response: &Response, policy: &str) {
        let head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\
             Content-Security-Policy: {policy}\r\n{}\r\n",
            response.status,
            reason(response.status),
            response.content_type,
            response.body.len(),
            response.headers
        );
        // A client that is gone, or does not read, gets nothing; nobody else waits for it.
        let _ = self.write(head.as_bytes(), &response.body);
    }

    fn write(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(MAX_SILENCE))?;
        let deadline = Instant::now() + MAX_TIME;
        self.stream.write_all(head)?;
        for piece in body.chunks(1 << 20) {
            if Instant::now() > deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.write_all(piece)?;
        }
        self.stream.shutdown(Shutdown::Write)?;
        self.linger()
    }

    /// Closing a connection with unread bytes would make the system throw the answer away.
    fn linger(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + MAX_LINGER;
        let mut buffer = [0; 64 * 1024];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.stream.set_read_timeout(Some(left))?;
            if self.stream.read(&mut buffer)? == 0 {
                return Ok(());
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The head and its length in bytes; `None` if more must be read.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let end = match request.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Failure::new(431, "the request has too many headers"));
        }
        Err(error) => return Err(Failure::new(400, format!("this is no HTTP request: {error}"))),
    };
    let target = request.path.unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let headers = Headers(request.headers);
    headers.check_origin()?;
    let head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        length: headers.length()?,
        expects_continue: headers.find("expect")?.is_some(),
    };
    Ok(Some((head, end)))
}

struct Headers<'h>(&'h [httparse::Header<'h>]);

impl Headers<'_> {
    /// The value of a header that may occur once.
    fn find(&self, name: &str) -> Result<Option<&str>, Failure> {
        let mut found = self.0.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        let Some(first) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(Failure::new(400, format!("the header {name} occurs twice")));
        }
        let bad = |_| Failure::new(400, format!("the header {name} is not text"));
        core::str::from_utf8(first.value).map(|value| Some(value.trim())).map_err(bad)
    }

    fn length(&self) -> Result<usize, Failure> {
        if self.find("transfer-encoding")?.is_some() {
            return Err(Failure::new(411, "a body needs its Content-Length"));
        }
        let Some(text) = self.find("content-length")? else { return Ok(0) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let length = if digits { text.parse().ok() } else { None };
        length.ok_or_else(|| Failure::new(400, "Content-Length is no length"))
    }

    /// A page from elsewhere must not reach the server: not by a name of its own that leads here
    /// (DNS rebinding), which `Host` shows, and not by requests across origins, which `Origin`
    /// shows. An address as `Host` cannot be rebound.
    fn check_origin(&self) -> Result<(), Failure> {
        let missing = || Failure::new(400, "the header Host is missing");
        let host = self.find("host")?.ok_or_else(missing)?;
        if !is_address(host) {
            let text = "the header Host names another server; use the address that was printed";
            return Err(Failure::new(403, text));
        }
        match self.find("origin")? {
            Some(origin) if origin.strip_prefix("http://") != Some(host) => {
                Err(Failure::new(403, "the request comes from another site"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether this is `localhost` or an address, with or without a port.
fn is_address(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    match inner {
        Some(inner) => matches!(inner.parse(), Ok(IpAddr::V6(_))),
        None => name.eq_ignore_ascii_case("localhost") || matches!(name.parse(), Ok(IpAddr::V4(_))),
    }
}

/// Decodes `%41`; `None` for what is no UTF-8 afterwards or has a `%` without two digits.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push((digit()? * 16 + digit()?) as u8);
    }
    core::str::from_utf8(&bytes).ok().map(ToString::to_string)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_names() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]", "[::1]:8080"] {
            assert!(is_address(host), "{host}");
        }
        let names = ["", "example.org", "127.0.0.1.example.org", "localhost.example.org:80"];
        for host in names.into_iter().chain(["[::1]x", "127.0.0.1:x", "a@localhost", "::1", "1"]) {
            assert!(!is_address(host), "{host}");
        }
    }

    #[test]
    fn percent_signs_are_decoded() {
        assert_eq!(percent_decoded("a%20%C3%9F%2F").as_deref(), Some("a ß/"));
        for text in ["%", "%4", "%zz", "%+1", "%FF"] {
            assert_eq!(percent_decoded(text), None, "{text}");
        }
    }
}
