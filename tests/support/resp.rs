//! As much of a Redis client as tests need: commands and their replies on a socket.

#![allow(dead_code, reason = "each test crate uses its own part of this")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Limit for an answer of Redis; only a failing test waits so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// An answer of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A simple or a bulk string.
    Text(String),
    /// Error text of Redis.
    Error(String),
    Number(i64),
    Nil,
    List(Vec<Reply>),
}

impl Reply {
    /// Returns the text of a string.
    ///
    /// # Panics
    /// It is no string.
    pub(crate) fn text(&self) -> &str {
        match self {
            Reply::Text(text) => text,
            other => panic!("no string: {other:?}"),
        }
    }
}

/// A connection to a Redis server.
pub(crate) struct Connection {
    socket: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to a port of this machine, without a password.
    pub(crate) fn open(port: u16) -> io::Result<Connection> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        Ok(Connection {
            socket: BufReader::new(socket),
        })
    }

    /// Sends a command and waits for its reply.
    pub(crate) fn ask(&mut self, command: &[&str]) -> io::Result<Reply> {
        self.send(command)?;
        self.reply()
    }

    /// Sends a command whose reply is read later.
    pub(crate) fn send(&mut self, command: &[&str]) -> io::Result<()> {
        let words: Vec<&[u8]> = command.iter().map(|word| word.as_bytes()).collect();
        self.send_bytes(&words)
    }

    /// Does the same for words that may be anything.
    pub(crate) fn send_bytes(&mut self, command: &[&[u8]]) -> io::Result<()> {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            bytes.extend(format!("${}\r\n", word.len()).bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.socket.get_mut().write_all(&bytes)
    }

    /// Reads the next reply.
    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        if self.socket.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let strange = || io::Error::new(io::ErrorKind::InvalidData, line.clone());
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).ok_or_else(strange)?;
        let number = rest.parse::<i64>();
        Ok(match (kind, number) {
            ("+", _) => Reply::Text(rest.to_owned()),
            ("-", _) => Reply::Error(rest.to_owned()),
            (":", Ok(number)) => Reply::Number(number),
            ("$" | "*", Ok(-1)) => Reply::Nil,
            ("$", Ok(length)) => self.bulk(length as usize)?,
            ("*", Ok(length)) => {
                let replies: io::Result<_> = (0..length).map(|_| self.reply()).collect();
                Reply::List(replies?)
            }
            _ => return Err(strange()),
        })
    }

    fn bulk(&mut self, length: usize) -> io::Result<Reply> {
        // The line end behind it belongs to it.
        let mut bytes = vec![0; length + 2];
        self.socket.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }
}
