//! [`Renewal`]: the thread that has a certificate read again when its files change or somebody says so, and tells of its
//! end in time.

use super::watching::Watched;
use crate::config::{ConfigError, TlsFiles};
use crate::limits;
use crate::net::certificates::Certificates;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// A hold on the thread. It ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Renewal {
    certificates: Arc<Certificates>,
    reloads: Sender<Afterwards>,
}

/// What is to be done when they have been read again, for better or worse.
type Afterwards = Box<dyn FnOnce() + Send>;

impl Renewal {
    /// Begins to look after certificates, and says when the one in use ends.
    ///
    /// # Errors
    /// If the system has no room for a thread.
    pub(super) fn start(mut watch: Watch) -> io::Result<Renewal> {
        let (reloads, wishes) = mpsc::channel();
        let certificates = watch.certificates.clone();
        watch.tell_of_end();
        thread::Builder::new().name("certificates".into()).spawn(move || watch.run(&wishes))?;
        Ok(Renewal { certificates, reloads })
    }

    /// What is looked after.
    pub(super) fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Has them read again, without waiting for it, and something done afterwards.
    pub(super) fn reload(&self, afterwards: impl FnOnce() + Send + 'static) {
        // It fails only if the thread has panicked, and then nobody reads.
        let _ = self.reloads.send(Box::new(afterwards));
    }
}

/// Certificates, and what the thread remembers of them.
pub(super) struct Watch {
    certificates: Arc<Certificates>,
    watched: Watched,
    /// When the end of the certificate is to be warned of again, in Unix time.
    warning_due: u64,
}

impl Watch {
    /// Reads them.
    ///
    /// # Errors
    /// As for [`Certificates::read`].
    pub(super) fn read(files: TlsFiles) -> Result<Watch, ConfigError> {
        // They are looked at first: who replaces them from now on is noticed.
        let watched = Watched::new(vec![files.certificate.clone(), files.key.clone()]);
        let certificates = Arc::new(Certificates::read(files)?);
        Ok(Watch { certificates, watched, warning_due: 0 })
    }

    /// What was read.
    pub(super) fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    fn run(mut self, wishes: &Receiver<Afterwards>) {
        loop {
            match wishes.recv_timeout(Duration::from_millis(limits::FILES_LOOK_MS)) {
                Ok(afterwards) => {
                    tracing::info!("told to read the certificate again");
                    self.reload();
                    afterwards();
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.watched.have_changed() {
                        tracing::info!("the certificate or its key has changed");
                        self.reload();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if unix_time() >= self.warning_due {
                self.tell_of_end();
            }
        }
    }

    fn reload(&mut self) {
        self.watched.reading();
        match self.certificates.reload() {
            Ok(()) => {
                tracing::info!("new TLS handshakes use it; connections that are open go on");
                self.tell_of_end();
            }
            Err(ConfigError { option, problem, fix, .. }) => {
                tracing::error!("the certificate in use stays: {option} {problem}: {fix}");
            }
        }
    }

    /// Says when the certificate in use ends, as a warning if that is soon; then again every day.
    fn tell_of_end(&mut self) {
        let (now, expires) = (unix_time(), self.certificates.expires());
        let file = self.certificates.files().certificate.display();
        let days = expires.saturating_sub(now) / DAY_SECONDS;
        if expires <= now {
            tracing::warn!("the certificate in {file} has expired: clients will refuse it; replace the file");
        } else if expires - now < limits::CERTIFICATE_WARNING_SECONDS {
            tracing::warn!("the certificate in {file} expires in {days} days: renew it");
        } else {
            tracing::info!("the certificate in {file} expires in {days} days");
        }
        let first_warning = expires.saturating_sub(limits::CERTIFICATE_WARNING_SECONDS);
        self.warning_due = first_warning.max(now + DAY_SECONDS);
    }
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_certificate_that_is_replaced_as_soon_as_it_is_read_is_noticed() {
        // Of another length each: a system may tell times no finer than its ticks.
        let write = |files: &TlsFiles, behind: &str| {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
            fs::write(&files.certificate, made.cert.pem() + behind).expect("a directory");
            fs::write(&files.key, made.signing_key.serialize_pem()).expect("a directory");
        };
        let path = |kind: &str| {
            std::env::temp_dir().join(format!("fanwire-renewal-{}-{kind}.pem", std::process::id()))
        };
        let files = TlsFiles { certificate: path("certificate"), key: path("key") };
        write(&files, "");
        let mut watch = Watch::read(files.clone()).expect("a certificate and its key");
        write(&files, "\n");
        assert!(!watch.watched.have_changed(), "it may be in the middle of it");
        assert!(watch.watched.have_changed());
        for file in [files.certificate, files.key] {
            fs::remove_file(file).expect("it was written");
        }
    }
}
