//! [`UnixFile`]: the file by which a Unix socket is found, from binding to its removal.
//!
//! A file on which nobody answers is what a server left that was killed: it is replaced. One on which somebody answers is
//! taken over only by who says so, and without a moment in which nobody answers: the new socket is bound by another name,
//! which is renamed when all else is ready ([`UnixFile::take_place`]). Who was there before notices that the file is no
//! longer its own and leaves it.

use crate::limits;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process;

/// The file of a socket that listens. It is removed when this is dropped, or before, unless it is another's meanwhile.
#[derive(Debug)]
pub(crate) struct UnixFile {
    path: PathBuf,
    /// Where it waits to take the place of another's.
    interim: Option<PathBuf>,
    /// What tells it from another of its name: its device's number and its own there.
    identity: (u64, u64),
}

/// How a file is to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Making {
    /// Its permissions.
    pub(super) mode: u32,
    /// It may take the place of one on which somebody answers.
    pub(super) takes_over: bool,
}

/// Why there is no socket.
#[derive(Debug)]
pub(super) enum UnixFileError {
    /// Somebody answers on it.
    Taken,
    /// There is a file that is no socket.
    NoSocket,
    /// The system refuses.
    System(io::Error),
}

impl From<io::Error> for UnixFileError {
    fn from(error: io::Error) -> Self {
        UnixFileError::System(error)
    }
}

impl UnixFile {
    /// Makes the file at `path`, with a socket that listens on it. Where somebody else answers, that stays so until it
    /// [takes its place](Self::take_place).
    ///
    /// # Errors
    /// If it is another's, or the system refuses.
    pub(super) fn listen(path: &Path, making: Making) -> Result<(UnixListener, UnixFile), UnixFileError> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        let mut interim = None;
        match occupant(path)? {
            Occupant::Nobody => bind(&socket, path, making.mode)?,
            Occupant::Remains => {
                fs::remove_file(path)?;
                bind(&socket, path, making.mode)?;
            }
            Occupant::Server if making.takes_over => {
                // Nobody else's, and short: `path` may be as long as the system allows already.
                let name = format!("{:x}.{:x}", process::id(), socket.as_raw_fd());
                let waiting = path.with_file_name(name);
                if matches!(occupant(&waiting)?, Occupant::Remains) {
                    fs::remove_file(&waiting)?;
                }
                bind(&socket, &waiting, making.mode)?;
                interim = Some(waiting);
            }
            Occupant::Server => return Err(UnixFileError::Taken),
        }
        let identity = identity(interim.as_deref().unwrap_or(path))?;
        Ok((socket.into(), UnixFile { path: path.to_owned(), interim, identity }))
    }

    /// Takes the place of the file of another server, if it is to. To be called once, when nothing else can keep this
    /// server from starting: that one is found no more.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn take_place(&self) -> io::Result<()> {
        self.interim.as_ref().map_or(Ok(()), |interim| fs::rename(interim, &self.path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, if it is still this socket's: nobody new finds it.
    pub(crate) fn remove(&self) {
        for path in [Some(&self.path), self.interim.as_ref()].into_iter().flatten() {
            if identity(path).is_ok_and(|identity| identity == self.identity) {
                // Where it cannot be removed, it is a file on which nobody answers.
                drop(fs::remove_file(path));
            }
        }
    }
}

impl Drop for UnixFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// What is at a path.
enum Occupant {
    Nobody,
    /// A socket on which nobody answers.
    Remains,
    /// One on which somebody does.
    Server,
}

fn occupant(path: &Path) -> Result<Occupant, UnixFileError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Occupant::Nobody),
        Err(error) => Err(error.into()),
        Ok(metadata) if !metadata.file_type().is_socket() => Err(UnixFileError::NoSocket),
        Ok(_) => match knock(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(Occupant::Remains),
            // It went in this moment.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Occupant::Nobody),
            // Whether we may speak to it or not, and though its queue may be full.
            Ok(()) | Err(_) => Ok(Occupant::Server),
        },
    }
}

/// Connects to a socket's file, without waiting.
fn knock(path: &Path) -> io::Result<()> {
    Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?.connect(&SockAddr::unix(path)?)
}

/// Binds `socket` to a new file and listens. Nobody connects before it has its mode, for nobody is listened to.
fn bind(socket: &Socket, path: &Path, mode: u32) -> io::Result<()> {
    socket.bind(&SockAddr::unix(path)?)?;
    let listening = || {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        socket.listen(limits::LISTEN_BACKLOG)
    };
    listening().inspect_err(|_| drop(fs::remove_file(path)))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::os::unix::net::UnixStream;

    const MAKING: Making = Making { mode: 0o660, takes_over: false };
    const TAKING: Making = Making { takes_over: true, ..MAKING };

    /// A path of this test's own, at which there is nothing.
    fn path(name: &str) -> PathBuf {
        let path = env::temp_dir().join(format!("fanwire-{name}-{}.sock", process::id()));
        drop(fs::remove_file(&path));
        path
    }

    #[test]
    fn a_file_has_its_mode_and_goes_with_its_socket() {
        let path = path("mode");
        for mode in [0o660, 0o600, 0o777] {
            let (_socket, file) = UnixFile::listen(&path, Making { mode, ..MAKING }).expect("a directory");
            assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o7777, mode);
            UnixStream::connect(&path).expect("it listens");
            drop(file);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_file_on_which_nobody_answers_is_replaced() {
        let path = path("remains");
        // It never listened: nobody answers, whoever has got a copy of it meanwhile.
        let bound = Socket::new(Domain::UNIX, Type::STREAM, None)
            .and_then(|socket| socket.bind(&SockAddr::unix(&path)?));
        bound.expect("a directory");
        assert!(path.exists(), "a socket's file outlives it");
        let _server = UnixFile::listen(&path, MAKING).expect("nobody answers");
        UnixStream::connect(&path).expect("it listens");
    }

    #[test]
    fn a_file_on_which_somebody_answers_is_taken_over_only_by_who_says_so() {
        let path = path("taken");
        let (_first, first_file) = UnixFile::listen(&path, MAKING).expect("a directory");
        assert!(matches!(UnixFile::listen(&path, MAKING), Err(UnixFileError::Taken)));
        drop(UnixFile::listen(&path, TAKING).expect("it may"));
        UnixStream::connect(&path).expect("who takes no place leaves it to the first");
        let (second, second_file) = UnixFile::listen(&path, TAKING).expect("it may");
        second_file.take_place().expect("a directory");
        second.set_nonblocking(false).expect("a socket");
        let _peer = UnixStream::connect(&path).expect("it listens");
        second.accept().expect("it is found by the name of the first");
        drop(first_file);
        assert!(path.exists(), "the first leaves what is no longer its own");
        drop(second_file);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_of_the_longest_path_is_taken_over_too() {
        let rest = path("").as_os_str().len();
        let path = path(&"x".repeat(107 - rest));
        let (_first, _first_file) = UnixFile::listen(&path, MAKING).expect("107 bytes");
        let (_second, second_file) = UnixFile::listen(&path, TAKING).expect("it may");
        second_file.take_place().expect("a directory");
        UnixStream::connect(&path).expect("it listens");
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let path = path("file");
        fs::write(&path, "precious").expect("a directory");
        for making in [MAKING, TAKING] {
            assert!(matches!(UnixFile::listen(&path, making), Err(UnixFileError::NoSocket)));
        }
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "precious");
        fs::remove_file(&path).expect("it is there");
    }
}
