//! How other threads reach the LAN's thread: a queue and an eventfd that wakes it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::event::{EventfdFlags, eventfd};

use crate::fabric::Fabric;
use crate::switch::PortId;

/// Something for the LAN's thread to do. The queue keeps the order: a remark comes between the frames it was made between.
pub(crate) enum Message {
    /// A frame from an in-process port.
    Frame { from: PortId, bytes: Vec<u8> },
    /// A port's owner has dropped it.
    Detach(PortId),
    /// Anything else.
    Call(Box<dyn FnOnce(&mut Fabric) + Send>),
    /// End.
    Stop,
}

/// The sending end, for any number of threads.
#[derive(Clone)]
pub(crate) struct Inbox {
    messages: Sender<Message>,
    wake: Arc<Wake>,
}

/// The receiving end, for the LAN's thread.
pub(crate) struct Outbox {
    messages: Receiver<Message>,
    wake: Arc<Wake>,
}

struct Wake {
    event: OwnedFd,
    /// The eventfd is set: a burst of messages costs one system call.
    pending: AtomicBool,
}

pub(crate) fn pair() -> io::Result<(Inbox, Outbox)> {
    let (sender, receiver) = channel();
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let wake = Arc::new(Wake { event, pending: AtomicBool::new(false) });
    Ok((Inbox { messages: sender, wake: Arc::clone(&wake) }, Outbox { messages: receiver, wake }))
}

impl Inbox {
    /// Queues a message. False: the LAN's thread has ended.
    pub(crate) fn send(&self, message: Message) -> bool {
        if self.messages.send(message).is_err() {
            return false;
        }
        if !self.wake.pending.swap(true, Ordering::AcqRel) {
            // Fails only when the counter overflows, and then it is set anyway.
            let _ = rustix::io::write(&self.wake.event, &1u64.to_ne_bytes());
        }
        true
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

impl Outbox {
    /// The descriptor to poll for messages.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.event.as_fd()
    }

    /// Resets the wake-up. Call before reading messages, so that one that comes in between wakes again.
    pub(crate) fn clear(&self) {
        let _ = rustix::io::read(&self.wake.event, &mut [0; 8]);
        self.wake.pending.swap(false, Ordering::AcqRel);
    }

    /// The next message, if there is one. An inbox without senders says to stop.
    pub(crate) fn next(&self) -> Option<Message> {
        match self.messages.try_recv() {
            Ok(message) => Some(message),
            Err(std::sync::mpsc::TryRecvError::Empty) => None,
            Err(std::sync::mpsc::TryRecvError::Disconnected) => Some(Message::Stop),
        }
    }
}
