//! A line that can fall silent without closing.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy to one address.
pub(crate) struct Wan {
    /// Where it is reached.
    pub(crate) address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Wan {
    pub(crate) async fn open(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (open, passable) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, target, passable.clone()));
            }
        });
        Ok(Self { address, open })
    }

    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}

async fn carry(near: TcpStream, target: SocketAddr, passable: watch::Receiver<bool>) -> Result<()> {
    let far = TcpStream::connect(target).await?;
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::try_join!(pump(near_in, far_out, passable.clone()), pump(far_in, near_out, passable))?;
    Ok(())
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut passable: watch::Receiver<bool>,
) -> Result<()> {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut piece).await?;
        passable.wait_for(|open| *open).await?;
        if count == 0 {
            return Ok(to.shutdown().await?);
        }
        to.write_all(&piece[..count]).await?;
    }
}
