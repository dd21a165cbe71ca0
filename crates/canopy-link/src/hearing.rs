//! Whether the other side of a connection speaks.
//!
//! A TLS client has shaken hands before the server has looked at its certificate. Only the first
//! byte says that it was accepted, and only the error in its place says why not: whoever asks later
//! learns no more than that the connection is gone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// A stream that tells once what came of reading it first.
pub(crate) struct Hearing<S> {
    stream: S,
    first: Option<oneshot::Sender<io::Result<()>>>,
}

/// Listens to a stream: it, and what will have come of its first read.
pub(crate) fn hearing<S>(stream: S) -> (Hearing<S>, oneshot::Receiver<io::Result<()>>) {
    let (first, heard) = oneshot::channel();
    (Hearing { stream, first: Some(first) }, heard)
}

impl<S> Hearing<S> {
    fn tell(&mut self, read: &io::Result<usize>) {
        let Some(first) = self.first.take() else { return };
        let told = match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) => Err(again(error)),
        };
        // Nobody may be waiting any more.
        let _ = first.send(told);
    }
}

/// The same error once more, with that of TLS inside, if it is one.
fn again(error: &io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => io::Error::new(error.kind(), tls.clone()),
        None => error.kind().into(),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Hearing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        let read = read.map(|()| buffer.filled().len() - before);
        self.tell(&read);
        Poll::Ready(read.map(|_| ()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Hearing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
