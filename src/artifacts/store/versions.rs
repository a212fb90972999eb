//! Which version a reader means (artifacts.md 3).

use super::{Artifact, ArtifactError, Sight};

impl Artifact {
    /// The version that readers see when they name none.
    pub(super) fn latest_dir(&self) -> Option<u32> {
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
            return match self.staging {
                Some(_) => Ok(Sight::Stage),
                None => Err(ArtifactError::Invalid(
                    "Artifact is not in staging mode; it has no version 'stage'.".to_owned(),
                )),
            };
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
                "Version '{selector}' of artifact '{}' does not exist.",
                self.alias
            ))
        })?;
        Ok(Sight::Committed(Some(found.dir)))
    }

    /// The directory of what a reader looks at; none when it has no files yet.
    pub fn dir_of(&self, sight: Sight) -> Option<u32> {
        match sight {
            Sight::Stage => self.staging.as_ref().map(|draft| draft.dir),
            Sight::Committed(dir) => dir,
        }
    }
}
