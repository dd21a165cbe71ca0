//! The identity of an agent that runs as a pod: beside its folder it is kept in a Secret, so that a
//! pod whose volume is gone is still the same agent.

use anyhow::Context as _;
use canopy_identity::Folder;
use canopy_kube::{Cluster, SecretName};
use tracing::info;

use crate::args;

/// Where an identity is kept beside its folder.
#[derive(Clone)]
pub(crate) struct Kept {
    cluster: Cluster,
    name: SecretName,
}

impl Kept {
    /// None when it is kept in its folder only.
    pub(crate) async fn connect(
        name: Option<SecretName>,
        access: &args::Access,
    ) -> anyhow::Result<Option<Self>> {
        let Some(name) = name else { return Ok(None) };
        let cluster = Cluster::connect(access.kubeconfig.as_deref(), access.context.as_deref()).await?;
        Ok(Some(Self { cluster, name }))
    }

    /// Takes the identity out of the Secret into a folder that has none; says whether the folder has one.
    pub(crate) async fn restore(&self, folder: &Folder) -> anyhow::Result<bool> {
        if !folder.is_empty() {
            return Ok(true);
        }
        let Some(files) = self.cluster.secret(&self.name).await? else { return Ok(false) };
        folder.restore(files).with_context(|| format!("taking the identity out of Secret {}", self.name))?;
        info!(secret = %self.name, "took the identity out of its Secret");
        Ok(true)
    }

    /// Empties the Secret.
    pub(crate) async fn forget(&self) -> anyhow::Result<()> {
        Ok(self.cluster.keep_secret(&self.name, Default::default()).await?)
    }

    /// Brings the Secret to what the folder holds.
    pub(crate) async fn keep(&self, folder: &Folder) -> anyhow::Result<()> {
        self.cluster.keep_secret(&self.name, folder.copy()?).await?;
        Ok(())
    }
}
