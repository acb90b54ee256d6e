//! [`Notifier`]: tells the service manager how we are, as `sd_notify(3)` describes. Without one it tells nobody.

use sd_notify::NotifyState;
use std::ffi::{OsStr, OsString};
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
#[cfg(target_os = "linux")]
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

/// How long telling may take: a service manager that does not listen does not keep us from our work.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line to the service manager, if there is one.
#[derive(Clone, Debug)]
pub(super) struct Notifier(Option<Arc<UnixDatagram>>);

impl Notifier {
    /// A line to `NOTIFY_SOCKET`: a path, or a name behind an @.
    pub(super) fn new(address: Option<OsString>) -> Notifier {
        let connected = address.filter(|address| !address.is_empty()).map(|address| {
            connect(&address).inspect_err(|error| {
                tracing::warn!(?address, %error, "the service manager is told nothing: NOTIFY_SOCKET cannot be reached");
            })
        });
        Notifier(connected.and_then(Result::ok).map(Arc::new))
    }

    /// Tells it that we read again what can be read again. It is to be told that we are ready when that is done.
    pub(super) fn tell_of_reload(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "the service manager is not told of the reload"),
        }
    }

    /// Tells it, in one message.
    pub(super) fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.0 else { return };
        let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
        if let Err(error) = socket.send(lines.join("\n").as_bytes()) {
            tracing::warn!(%error, "the service manager does not listen");
        }
    }
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    match address.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(address)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    fn heard(socket: &UnixDatagram) -> String {
        let mut message = [0; 200];
        let len = socket.recv(&mut message).expect("it was told");
        String::from_utf8_lossy(&message[..len]).into_owned()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_is_told_by_path_or_by_abstract_name_a_line_for_each_state() {
        let name = format!("fanwire-notifier-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let abstract_address = SocketAddr::from_abstract_name(&name).expect("a name");
        for (address, socket) in [
            (format!("@{name}").into(), UnixDatagram::bind_addr(&abstract_address)),
            (path.clone().into_os_string(), UnixDatagram::bind(&path)),
        ] {
            let socket = socket.expect("a free name");
            let notifier = Notifier::new(Some(address));
            notifier.tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
            assert_eq!(heard(&socket), "READY=1\nSTATUS=serving");
        }
        std::fs::remove_file(path).expect("it was bound");
    }

    #[test]
    fn where_nobody_asks_or_nobody_listens_it_says_nothing_and_goes_on() {
        for address in [None, Some("".into()), Some("/nowhere/at/all".into())] {
            let notifier = Notifier::new(address);
            assert!(notifier.0.is_none());
            notifier.tell(&[NotifyState::Ready]);
        }
    }
}
