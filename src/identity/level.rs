use std::fmt;
use std::str::FromStr;

/// How much somebody may do in a workspace. A higher level includes the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// List, look at and connect.
    Read,
    /// Also register services, log and change the environment.
    ReadWrite,
    /// Everything.
    Admin,
}

/// A text that names no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown permission level '{0}'")]
pub struct LevelError(pub String);

impl Level {
    /// The short form that travels on the wire.
    pub const fn letter(self) -> &'static str {
        match self {
            Level::Read => "r",
            Level::ReadWrite => "rw",
            Level::Admin => "a",
        }
    }

    /// The long form that people write.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Read => "read",
            Level::ReadWrite => "read_write",
            Level::Admin => "admin",
        }
    }

    /// The level of this long form, if there is one.
    pub fn from_name(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name() == name)
    }

    const ALL: [Level; 3] = [Level::Read, Level::ReadWrite, Level::Admin];
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Level::ALL
            .into_iter()
            .find(|level| level.letter() == text || level.name() == text)
            .ok_or_else(|| LevelError(text.to_owned()))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_have_two_spellings() {
        assert!(Level::Read < Level::ReadWrite && Level::ReadWrite < Level::Admin);
        for level in Level::ALL {
            assert_eq!(level.letter().parse(), Ok(level));
            assert_eq!(level.name().parse(), Ok(level));
            assert_eq!(Level::from_name(level.name()), Some(level));
            assert_eq!(Level::from_name(level.letter()), None);
        }
        for text in ["", "R", "write", "rw ", "admins"] {
            assert!(text.parse::<Level>().is_err(), "{text}");
        }
    }
}
