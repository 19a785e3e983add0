//! What is still being looked up for an event.

use super::Attributor;
use crate::{
    event::{
        ids::{Address, Pid},
        user_stack::StackKey,
    },
    symbolize::{
        Words,
        parent::{
            places::{Known, PlaceKey},
            symbols::UserPlace,
        },
    },
};

/// The places in user space that an event waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Awaited {
    /// Where its task was; `None` where that is not looked up.
    place: Option<Known<PlaceKey, UserPlace>>,
    /// How its senders got there: those that are not known yet.
    pub(super) stacks: Vec<StackKey>,
}

impl Awaited {
    /// Whether everything was known at once.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.place_key().is_none() && self.stacks.is_empty()
    }

    /// Whether senders' stacks are among it.
    #[must_use]
    pub const fn has_stacks(&self) -> bool {
        !self.stacks.is_empty()
    }

    /// By what the place will be known, if it is not yet.
    pub(super) const fn place_key(&self) -> Option<PlaceKey> {
        match self.place {
            Some(Known::Later(key)) => Some(key),
            Some(Known::Is(_)) | None => None,
        }
    }
}

impl Attributor {
    /// Asks where a task was.
    pub(super) fn ask_place(&mut self, pid: Option<Pid>, ip: Address, awaited: &mut Awaited) {
        if let (Some(users), Some(pid)) = (&mut self.users, pid) {
            awaited.place = Some(users.place(pid, ip));
        }
    }

    /// Asks how a sender got there.
    pub(super) fn ask_stack(&mut self, key: StackKey, awaited: &mut Awaited) {
        if let Some(users) = &mut self.users
            && let Known::Later(key) = users.stack(key)
        {
            awaited.stacks.push(key);
        }
    }

    /// Where the task was, as far as that is known by now.
    pub(super) fn place_of(&mut self, awaited: Awaited) -> UserPlace {
        match (awaited.place, &mut self.users) {
            (Some(Known::Is(place)), _) => place,
            (Some(Known::Later(key)), Some(users)) => users.place_of(key),
            _ => UserPlace::default(),
        }
    }

    /// How a sender got there, in words, as far as that is known by now.
    pub(super) fn stack_of(&mut self, key: StackKey) -> Words {
        let users = self.users.as_mut();
        users.map_or_else(Words::default, |users| users.stack_of(key))
    }
}
