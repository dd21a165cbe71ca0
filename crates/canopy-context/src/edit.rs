//! Choosing, renaming and dropping contexts.

use crate::{Contexts, Error};

impl Contexts {
    /// Makes this context the current one.
    pub fn choose(&mut self, name: &str) -> Result<(), Error> {
        self.pick(Some(name))?;
        self.current = Some(name.to_owned());
        Ok(())
    }

    /// Gives a context another name, which must be free.
    pub fn rename(&mut self, name: &str, new: &str) -> Result<(), Error> {
        self.pick(Some(name))?;
        if self.contexts.iter().any(|context| context.name == new) {
            return Err(Error::Held(new.to_owned()));
        }
        for context in self.contexts.iter_mut().filter(|context| context.name == name) {
            new.clone_into(&mut context.name);
        }
        if self.current.as_deref() == Some(name) {
            self.current = Some(new.to_owned());
        }
        Ok(())
    }

    /// Drops a context with its key. If it was the current one, none is.
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        self.pick(Some(name))?;
        self.contexts.retain(|context| context.name != name);
        self.current = self.current.take().filter(|current| current != name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::context;

    fn two() -> Contexts {
        let mut contexts = Contexts::default();
        contexts.add(context("root", "a:1")).unwrap();
        contexts.add(context("plant", "b:1")).unwrap();
        contexts
    }

    #[test]
    fn the_current_context_follows_its_name() {
        let mut contexts = two();
        contexts.choose("plant").unwrap();
        contexts.rename("plant", "mill").unwrap();
        assert_eq!(contexts.pick(None).unwrap().name, "mill");
        contexts.remove("mill").unwrap();
        assert_eq!((contexts.current.as_deref(), contexts.contexts.len()), (None, 1));
    }

    #[test]
    fn no_context_takes_the_name_of_another_and_an_unknown_one_changes_nothing() {
        let mut contexts = two();
        assert!(matches!(contexts.rename("plant", "root"), Err(Error::Held(_))));
        assert!(matches!(contexts.choose("moon"), Err(Error::Unknown { .. })));
        assert!(matches!(contexts.rename("moon", "mars"), Err(Error::Unknown { .. })));
        assert!(matches!(contexts.remove("moon"), Err(Error::Unknown { .. })));
        assert_eq!(contexts, two());
    }
}
