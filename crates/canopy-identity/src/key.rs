//! Private keys, and requests that prove the possession of one.
//!
//! All keys are ECDSA over P-256: what TPMs, browsers and every TLS stack can use.

use std::fmt;
use std::sync::Arc;

use canopy_model::Uid;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::certificate::Fingerprint;

/// The length of a P-256 public key as an uncompressed point, in bytes.
const POINT_BYTES: usize = 65;

/// The largest request that is looked at, in bytes. Ours have about 250.
const REQUEST_BYTES_MAX: usize = 4096;

/// A private key. Clones share it.
#[derive(Clone)]
pub struct Key(pub(crate) Arc<KeyPair>);

/// A public key whose holder has proven, by a signature, to have the private one.
pub struct ProvenKey(pub(crate) rcgen::PublicKey);

/// Why a key or a request is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key could not be made or used.
    #[error("the cryptographic library refused the key")]
    Library(#[source] rcgen::Error),
    /// No private key of our kind.
    #[error("not a private key of P-256 in PKCS#8 PEM")]
    PrivateKey(#[source] rcgen::Error),
    /// No request, or its signature is wrong.
    #[error("not a certificate request whose signature holds")]
    Request(#[source] rcgen::Error),
    /// The request is larger than any that a node makes.
    #[error("the certificate request has {0} bytes, at most {REQUEST_BYTES_MAX} are read")]
    RequestSize(usize),
    /// Another kind of key.
    #[error("the certificate request is for another kind of key than P-256")]
    Kind,
}

impl Key {
    /// Draws a new key.
    pub fn generate() -> Result<Self, Error> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map(|pair| Self(Arc::new(pair)))
            .map_err(Error::Library)
    }

    /// Reads a key from PKCS#8 PEM.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ECDSA_P256_SHA256)
            .map(|pair| Self(Arc::new(pair)))
            .map_err(Error::PrivateKey)
    }

    /// The key as PKCS#8 PEM.
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// The key as rustls takes it.
    pub fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }

    /// The hash of the public key, as certificates of it have.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0.subject_public_key_info())
    }

    /// A PKCS#10 request in DER. It asks for nothing but a certificate of this key.
    pub fn request(&self) -> Result<Vec<u8>, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.serialize_request(&*self.0).map(|request| request.der().to_vec()).map_err(Error::Library)
    }
}

impl ProvenKey {
    /// Checks the signature of a PKCS#10 request in DER and keeps the key, and nothing else.
    pub fn from_request(request: &[u8]) -> Result<Self, Error> {
        if request.len() > REQUEST_BYTES_MAX {
            return Err(Error::RequestSize(request.len()));
        }
        let key =
            CertificateSigningRequestParams::from_der(&request.into()).map_err(Error::Request)?.public_key;
        if *key.algorithm() != PKCS_ECDSA_P256_SHA256 || key.der_bytes().len() != POINT_BYTES {
            return Err(Error::Kind);
        }
        Ok(Self(key))
    }

    /// The hash of the key, as certificates of it have.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0.subject_public_key_info())
    }
}

/// Draws bytes that nobody can guess.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let source = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    source.fill(&mut bytes).expect("the system gives randomness");
    bytes
}

/// Draws the uid of a new node.
pub fn random_uid() -> Uid {
    Uid(u128::from_be_bytes(random()))
}

impl fmt::Debug for Key {
    /// Names the key without telling it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gives_its_key_if_the_signature_holds() {
        let key = Key::generate().unwrap();
        let mut request = key.request().unwrap();
        assert_eq!(ProvenKey::from_request(&request).unwrap().fingerprint(), key.fingerprint());
        *request.last_mut().unwrap() ^= 1;
        assert!(matches!(ProvenKey::from_request(&request), Err(Error::Request(_))));
        assert!(matches!(ProvenKey::from_request(&[0; 5000]), Err(Error::RequestSize(5000))));
    }

    #[test]
    fn other_kinds_of_keys_are_refused() {
        for kind in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
            let key = KeyPair::generate_for(kind).unwrap();
            let request = CertificateParams::default().serialize_request(&key).unwrap();
            assert!(matches!(ProvenKey::from_request(request.der()), Err(Error::Kind)));
            assert!(Key::from_pem(&key.serialize_pem()).is_err());
        }
    }

    #[test]
    fn a_key_survives_its_pem_and_does_not_show_itself() {
        let key = Key::generate().unwrap();
        assert_eq!(Key::from_pem(&key.to_pem()).unwrap().fingerprint(), key.fingerprint());
        assert_eq!(format!("{key:?}"), format!("Key({:?})", key.fingerprint()));
    }
}
