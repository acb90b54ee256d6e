//! [`Memory`]: a socket that is always ready, and what drives a future that therefore never waits.

use std::future::Future;
use std::io::{self, Read, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that a write leaves in the "kernel", at most: then they count as sent.
const SENT_BYTES_MAX: usize = 256 << 10;

/// Bytes that are copied at once. Longer copies are `rep movsb` in the C library, whose speed on some machines depends on
/// how both ends happen to be aligned, and who is measured has no say in that.
const COPY_BYTES: usize = 1 << 10;

/// Reads the same bytes again and again, and keeps what was written last. Both are copies, as a kernel makes them.
pub(crate) struct Memory {
    inbound: Vec<u8>,
    at: usize,
    /// Bytes that a read hands over at most. A lap over `inbound` ends a read, too.
    read_bytes_max: usize,
    sent: Vec<u8>,
}

impl Memory {
    pub(crate) fn new(inbound: &[u8], read_bytes_max: usize) -> Memory {
        let sent = Vec::with_capacity(2 * SENT_BYTES_MAX);
        Memory { inbound: inbound.to_vec(), at: 0, read_bytes_max, sent }
    }

    /// The next bytes, as many as one read takes into a buffer of `room` bytes.
    fn next_read(&mut self, room: usize) -> &[u8] {
        let len = room.min(self.read_bytes_max).min(self.inbound.len() - self.at);
        let read = &self.inbound[self.at..][..len];
        self.at = (self.at + len) % self.inbound.len();
        read
    }

    /// Whether all of `inbound` was read the same number of times.
    pub(crate) fn is_at_start(&self) -> bool {
        self.at == 0
    }

    /// The next bytes, piece by piece, to `sink`.
    pub(crate) fn read_into(&mut self, room: usize, sink: impl FnMut(&[u8])) -> usize {
        let read = self.next_read(room);
        read.chunks(COPY_BYTES).for_each(sink);
        read.len()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if self.sent.len() + bytes.len() > SENT_BYTES_MAX {
            self.sent.clear();
        }
        bytes.chunks(COPY_BYTES).for_each(|piece| self.sent.extend_from_slice(piece));
    }

    /// What was written, or the last of it if that is much.
    pub(crate) fn sent(&self) -> &[u8] {
        &self.sent
    }

    pub(crate) fn forget_sent(&mut self) {
        self.sent.clear();
    }
}

impl Read for Memory {
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut at = 0;
        Ok(self.read_into(into.len(), |piece| {
            into[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }))
    }
}

impl Write for Memory {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Memory {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().read_into(into.remaining(), |piece| into.put_slice(piece));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().send(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let memory = self.get_mut();
        for slice in slices {
            memory.send(slice);
        }
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Polls a future that never waits.
#[inline]
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("memory is always ready"),
    }
}
