//! The line between a region and the root: a proxy that can fall silent.
//!
//! A cut line closes nothing, as on a real WAN: connections stay open and carry nothing, and new
//! ones are accepted and carry nothing either. What was sent meanwhile arrives when it is mended.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is read at once.
const PIECE_BYTES: usize = 16 * 1024;

/// One line, open until it is cut.
#[derive(Debug)]
pub struct Wan {
    /// Where the near end reaches the far one.
    pub address: SocketAddr,
    silent: watch::Sender<bool>,
}

impl Wan {
    /// A line to this address.
    ///
    /// # Errors
    /// No port is free.
    pub async fn open(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (silent, heard) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, target, heard.clone()));
            }
        });
        Ok(Self { address, silent })
    }

    /// From now on nothing is carried, and nothing closed.
    pub fn cut(&self) {
        self.silent.send_replace(true);
    }

    /// Carries again, first of all what was held back.
    pub fn mend(&self) {
        self.silent.send_replace(false);
    }
}

/// Carries one connection; an error on either side ends it, as it would without the proxy.
async fn carry(near: TcpStream, target: SocketAddr, mut silent: watch::Receiver<bool>) -> io::Result<()> {
    spoken(&mut silent).await?;
    let far = TcpStream::connect(target).await?;
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::try_join!(pump(near_in, far_out, silent.clone()), pump(far_in, near_out, silent))?;
    Ok(())
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut silent: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut piece).await?;
        spoken(&mut silent).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..count]).await?;
    }
}

/// Waits until the line is not cut.
async fn spoken(silent: &mut watch::Receiver<bool>) -> io::Result<()> {
    silent.wait_for(|silent| !silent).await.map(drop).map_err(io::Error::other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by failing what went wrong")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_cut_line_holds_back_what_arrives_when_it_is_mended() {
        let root = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wan = Wan::open(root.local_addr().unwrap()).await.unwrap();
        let mut region = TcpStream::connect(wan.address).await.unwrap();
        let (mut accepted, _) = root.accept().await.unwrap();
        region.write_all(b"1").await.unwrap();
        assert_eq!(accepted.read_u8().await.unwrap(), b'1');
        wan.cut();
        region.write_all(b"2").await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(100), accepted.read_u8()).await;
        assert!(early.is_err(), "a byte crossed the cut line");
        wan.mend();
        assert_eq!(accepted.read_u8().await.unwrap(), b'2');
    }
}
