//! Which version a reader means (artifacts.md 3).

use super::{Artifact, ArtifactError, Sight};

impl Artifact {
    /// The version that readers see when they name none.
    pub(in crate::artifacts) fn latest_dir(&self) -> Option<u32> {
        let current = self.versions.iter().find(|v| Some(v.dir) == self.current);
        current.or(self.versions.last()).map(|version| version.dir)
    }

    /// What a selector means: null, `latest`, `stage`, a name, or a position.
    ///
    /// # Errors
    /// There is no such version.
    pub fn sight(&self, selector: Option<&str>) -> Result<Sight, ArtifactError> {
        let selector = match selector {
            None | Some("latest") => return Ok(Sight::Committed(self.latest_dir())),
            Some(selector) => selector,
        };
        if selector == "stage" {
            // Who looks for the stage after the commit sees what came of it.
            return Ok(match self.staging {
                Some(_) => Sight::Stage,
                None => Sight::Committed(self.latest_dir()),
            });
        }
        let named = self.versions.iter().find(|v| v.version == selector);
        let at = || {
            selector
                .parse()
                .ok()
                .and_then(|at: usize| self.versions.get(at))
        };
        let found = named.or_else(at).ok_or_else(|| {
            ArtifactError::Invalid(format!(
                "Artifact version '{selector}' of '{}' does not exist.",
                self.alias
            ))
        })?;
        Ok(Sight::Committed(Some(found.dir)))
    }

    /// The directory of what a reader looks at; none when it has no files yet.
    pub fn dir_of(&self, sight: Sight) -> Option<u32> {
        match sight {
            Sight::Stage => self.staging.as_ref().map(|draft| draft.dir),
            // Before the first commit there is nothing else to look at.
            Sight::Committed(dir) => dir.or(self.staging.as_ref().map(|draft| draft.dir)),
        }
    }
}
