//! Flags that hub and agent share.

use std::error::Error;
use std::ffi::OsStr;
use std::marker::PhantomData;
use std::str::FromStr;

use canopy_link::{Proxy, Way};
use canopy_proto::convert::one_line;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command};

/// How the hub above is reached.
#[derive(Debug, Clone, Default, Args)]
pub struct Upward {
    /// The HTTP proxy on the way to the hub: http://HOST:PORT or http://USER:PASSWORD@HOST:PORT
    #[arg(long, env = "CANOPY_PROXY", value_name = "URL", hide_env_values = true, value_parser = secret::<Proxy>())]
    pub proxy: Option<Proxy>,
    /// Where the hub is, in place of the addresses that came with the token; can be repeated
    #[arg(
        long = "parent-address",
        env = "CANOPY_PARENT_ADDRESS",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub addresses: Vec<String>,
}

impl Upward {
    /// The way to a hub of which `known` are the addresses, each `host:port`.
    pub fn way(&self, known: &[String]) -> Way {
        let addresses = if self.addresses.is_empty() { known } else { &self.addresses };
        Way { addresses: addresses.to_vec(), proxy: self.proxy.clone() }
    }
}

/// What is missing where `join --once` has yet to join.
pub const NO_TOKEN: &str = "nothing has joined here yet: give --token with what `canopy token create` prints, \
                            where the hub above is administered";

/// Reads the value of a flag that holds a secret: other than with clap's own parsers, an error does
/// not repeat the value.
pub fn secret<T>() -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Error> + Clone + Send + Sync + 'static,
{
    Secret(PhantomData)
}

struct Secret<T>(PhantomData<fn() -> T>);

impl<T> Clone for Secret<T> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<T> TypedValueParser for Secret<T>
where
    T: FromStr<Err: Error> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(&self, command: &Command, flag: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        let parsed = value.to_string_lossy().parse::<T>();
        parsed.map_err(|error| {
            let flag = flag.and_then(Arg::get_long).unwrap_or_default();
            let why = format!("--{flag} is not valid: {}", one_line(&error));
            command.clone().error(ErrorKind::ValueValidation, why)
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        upward: Upward,
    }

    fn parse(words: &[&str]) -> Result<Upward, clap::Error> {
        Cli::try_parse_from(["node"].iter().chain(words)).map(|cli| cli.upward)
    }

    #[test]
    fn given_addresses_take_the_place_of_those_that_are_known() {
        let known = ["hub:7443".to_owned()];
        assert_eq!(parse(&[]).unwrap().way(&known).addresses, known);
        let given = parse(&["--parent-address", "a:1,b:2", "--parent-address", "c:3"]).unwrap();
        assert_eq!(given.way(&known).addresses, ["a:1", "b:2", "c:3"]);
    }

    #[test]
    fn a_secret_that_cannot_be_read_is_not_repeated() {
        let error = parse(&["--proxy", "user:password@proxy.example"]).unwrap_err().to_string();
        assert!(error.contains("--proxy is not valid: a proxy is written http://HOST:PORT"), "{error}");
        assert!(!error.contains("password@proxy"), "{error}");
        let given = parse(&["--proxy", "http://user:password@proxy.example:3128"]).unwrap();
        assert!(!format!("{given:?}").contains("password"));
    }
}
