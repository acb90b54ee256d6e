//! The slab of clients. Keys carry a generation, so that a stale event, deadline or key finds nobody.

use super::client::Client;
use crate::hub::ClientKey;

/// All clients of a shard by key.
#[derive(Debug, Default)]
pub(super) struct Clients {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    /// How often the slot was vacated: part of the key of whoever is in it.
    generation: u32,
    client: Option<Client>,
}

impl Clients {
    /// The key that the next client will have.
    pub(super) fn next_key(&self) -> ClientKey {
        let index = self.vacant.last().copied().unwrap_or(self.slots.len() as u32);
        let generation = self.slots.get(index as usize).map_or(0, |slot| slot.generation);
        ClientKey { index, generation }
    }

    /// Adds a client; its key is what `next_key` said.
    pub(super) fn insert(&mut self, client: Client) -> ClientKey {
        let key = self.next_key();
        if self.vacant.pop().is_some() {
            self.slots[key.index as usize].client = Some(client);
        } else {
            self.slots.push(Slot { generation: 0, client: Some(client) });
        }
        key
    }

    /// Takes a client out; its key finds nobody from now on.
    pub(super) fn remove(&mut self, key: ClientKey) -> Option<Client> {
        let slot = self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)?;
        let client = slot.client.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.vacant.push(key.index);
        Some(client)
    }

    /// The client with this key, if it is still there.
    pub(super) fn get(&self, key: ClientKey) -> Option<&Client> {
        self.slots.get(key.index as usize).filter(|slot| slot.generation == key.generation)?.client.as_ref()
    }

    /// The client with this key, if it is still there.
    pub(super) fn get_mut(&mut self, key: ClientKey) -> Option<&mut Client> {
        let slot = self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)?;
        slot.client.as_mut()
    }

    /// How many clients there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// Whether there is no client.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The clients with their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ClientKey, &Client)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            Some((ClientKey { index: index as u32, generation: slot.generation }, slot.client.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::protocol::{Connection, Time};
    use std::sync::Arc;

    fn client() -> Client {
        Client::new(Connection::server(Arc::new(Limits::default()), Time(0)), Time(0))
    }

    #[test]
    fn a_key_of_who_is_gone_finds_nobody_although_its_slot_is_taken_again() {
        let mut clients = Clients::default();
        let gone = clients.insert(client());
        assert!(clients.get(gone).is_some() && clients.remove(gone).is_some());
        assert!(clients.get(gone).is_none());
        let next = clients.insert(client());
        assert_eq!((next.index, next.generation), (gone.index, gone.generation + 1));
        assert!(clients.get(gone).is_none() && clients.get_mut(gone).is_none());
        assert!(clients.remove(gone).is_none(), "nobody is taken out by a key of another's");
        assert!(clients.get(next).is_some());
    }
}
