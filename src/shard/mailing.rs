//! *collect mail*, *seal* and *post*: what crosses from shard to shard.

use super::Shard;
use super::mail::{Batch, Mail};
use super::rendering::render;
use crate::hub::{ClientId, HomeKey, Listener, Position, Segment, ShardId};
use crate::protocol::{Kind, Time};
use std::mem;

/// Puts a sealed segment among the mail to its listener's shard.
pub(super) fn post_segment(outgoing: &mut [Batch], listener: Listener, segment: Segment) {
    let Listener { shard, local, nonce } = listener;
    outgoing[usize::from(shard.0)].mail.push(Mail::Segment { local, nonce, segment });
}

impl Shard {
    /// Mail came from another shard.
    pub fn collect(&mut self, batch: Batch, now: Time) {
        let Batch { from, turn_us, mail, payloads } = batch;
        let mut payloads = payloads.as_slice();
        for mail in mail {
            match mail {
                Mail::Interest { name, rendering, listener } => {
                    let home = self.register(&name, rendering, listener);
                    let Listener { shard, local, nonce } = listener;
                    self.outgoing[usize::from(shard.0)].mail.push(Mail::Confirm { local, nonce, home });
                }
                Mail::Confirm { local, nonce, home } => self.confirm(local, nonce, home, now),
                Mail::Withdraw { home, rendering, listener } => {
                    self.homes.withdraw(home, rendering, listener);
                }
                Mail::Publish { home, client, kind, payload_len } => {
                    let Some((payload, rest)) = payloads.split_at_checked(payload_len as usize) else {
                        debug_assert!(false, "a batch has the payloads of its mail");
                        continue;
                    };
                    payloads = rest;
                    let origin = ClientId { shard: from, client };
                    self.publish(home, origin, kind, payload);
                }
                Mail::Segment { local, nonce, segment } => self.append(local, nonce, &segment, turn_us),
                Mail::Barrier(round, barrier) => self.drain.pass(round, barrier),
            }
        }
    }

    /// A publication in a channel that is at home here gets its place, and its frame in each wire form that anyone
    /// listens in. None if nobody does.
    pub(super) fn publish(
        &mut self,
        home: HomeKey,
        origin: ClientId,
        kind: Kind,
        payload: &[u8],
    ) -> Option<Position> {
        let (deflater, counters) = (&mut self.deflater, &self.counters);
        let position = self.homes.sequence(home, origin, payload.len(), |rendering, frames| {
            render(rendering, kind, payload, deflater, counters, frames);
        });
        self.counters.publications.add(u64::from(position.is_some()));
        self.counters.publications_homeless.add(u64::from(position.is_none()));
        position
    }

    /// Closes this turn's open segments: other shards' go into the mail, our own into our logs.
    pub fn seal(&mut self) {
        let outgoing = &mut self.outgoing;
        self.homes.seal(|listener, _rendering, segment| post_segment(outgoing, listener, segment));
        let own = usize::from(self.place.id.0);
        let mut to_self = mem::take(&mut self.outgoing[own].mail);
        for mail in to_self.drain(..) {
            match mail {
                Mail::Segment { local, nonce, segment } => {
                    self.append(local, nonce, &segment, self.turn_us);
                }
                mail => debug_assert!(false, "only segments go to the shard itself: {mail:?}"),
            }
        }
        self.outgoing[own].mail = to_self;
    }

    /// A segment for one of our channels: appended to its log, its subscribers to be visited, and those here who
    /// published it first: in a conversation they are the ones that wait.
    fn append(&mut self, local: u32, nonce: u32, segment: &Segment, sequenced_us: u32) {
        let here = self.place.id;
        let Some(channel) = self.subscriptions.addressed(local, nonce) else { return };
        let deliveries = segment.marks.len() as u64 * channel.subscribers().len() as u64;
        self.counters.deliveries_queued.add(deliveries);
        let held = channel.log.held_bytes();
        if !channel.append(segment, here, sequenced_us) {
            return;
        }
        self.retained.logs += channel.log.held_bytes() - held;
        self.laps.list(local, channel);
        for mark in segment.marks.iter().filter(|mark| mark.origin.shard == here) {
            self.list_writable(mark.origin.client);
        }
    }

    /// This turn's mail to the next shard that gets any.
    pub fn take_mail(&mut self) -> Option<(ShardId, Batch)> {
        let from = self.place.id;
        let (to, batch) = self.outgoing.iter_mut().enumerate().find(|(_, batch)| !batch.mail.is_empty())?;
        let mut batch = mem::replace(batch, Batch::new(from));
        batch.turn_us = self.turn_us;
        Some((ShardId(to as u16), batch))
    }
}
