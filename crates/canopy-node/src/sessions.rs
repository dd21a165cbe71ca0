//! The open connections, as far as the driver has to do with them: where their frames go.

use std::collections::HashMap;

use canopy_core::link::{EdgeId, Frame, SessionId};
use tokio::sync::mpsc;
use tracing::debug;

/// Where the frames of each connection go. Dropping a sender ends its connection.
#[derive(Debug, Default)]
pub(crate) struct Sessions(HashMap<(EdgeId, SessionId), mpsc::Sender<Frame>>);

impl Sessions {
    pub(crate) fn open(&mut self, edge: EdgeId, session: SessionId, frames: mpsc::Sender<Frame>) {
        self.0.insert((edge, session), frames);
        self.count();
    }

    pub(crate) fn close(&mut self, edge: EdgeId, session: SessionId) {
        self.0.remove(&(edge, session));
        self.count();
    }

    /// Hands a frame over. A connection that does not keep up is ended: a frame may be lost only
    /// together with its connection.
    pub(crate) fn send(&mut self, edge: EdgeId, session: SessionId, frame: Frame) {
        let key = (edge, session);
        let Some(frames) = self.0.get(&key) else { return };
        if let Err(error) = frames.try_send(frame) {
            let (edge, session) = key;
            debug!(%edge, session = session.0, %error, "a connection does not take its frames");
            self.close(edge, session);
        }
    }

    fn count(&self) {
        metrics::gauge!("canopy_connections").set(self.0.len() as f64);
    }
}
