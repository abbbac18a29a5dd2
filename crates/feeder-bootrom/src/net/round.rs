//! One round of DHCP: DISCOVERs, the OFFERs they bring, and the choice among them.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::dhcp::Offer;
use super::event::OfferSeen;
use super::option43;
use crate::board::DhcpProfile;
use crate::boot::Stage;

/// What a round yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub address: Ipv4Addr,
    pub netmask: Option<Ipv4Addr>,
    pub router: Option<Ipv4Addr>,
    /// The TFTP server.
    pub server: Ipv4Addr,
    /// Set when no OFFER of the try had the text and the server is but the one that some OFFER named:
    /// the likeliest cause of whatever fails later.
    pub doubt: Option<String>,
}

pub(crate) struct Round {
    stage: Stage,
    profile: DhcpProfile,
    sent: u32,
    /// When the next DISCOVER, or giving up, is due.
    due: Duration,
    last_discover: Option<Duration>,
    /// Of all tries.
    offers: Vec<OfferSeen>,
    current: Try,
}

/// What the OFFERs of one try have brought.
#[derive(Default)]
struct Try {
    address: Option<(Ipv4Addr, Option<Ipv4Addr>, Option<Ipv4Addr>)>,
    /// From an OFFER with the text in option 43.
    server: Option<Ipv4Addr>,
    /// From siaddr or option 66 of an OFFER without the text, and whose it was: good enough at the end
    /// of the try.
    fallback: Option<(Ipv4Addr, Ipv4Addr)>,
}

/// What a round wants at some instant.
pub(crate) enum Step {
    /// Send the n-th DISCOVER.
    Discover(u32),
    /// Done.
    Leased(Lease),
    /// All tries are over.
    GaveUp,
    /// Nothing until [`Round::due`].
    Wait,
}

impl Round {
    pub(crate) fn new(now: Duration, stage: Stage, profile: &DhcpProfile) -> Self {
        Self {
            stage,
            profile: profile.clone(),
            sent: 0,
            due: now + profile.first,
            last_discover: None,
            offers: Vec::new(),
            current: Try::default(),
        }
    }

    pub(crate) fn due(&self) -> Duration {
        self.due
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    pub(crate) fn profile(&self) -> &DhcpProfile {
        &self.profile
    }

    /// DISCOVERs sent and OFFERs heard.
    pub(crate) fn into_record(self) -> (u32, Vec<OfferSeen>) {
        (self.sent, self.offers)
    }

    /// Call again until it says [`Step::Wait`].
    pub(crate) fn poll(&mut self, now: Duration) -> Step {
        if let Some(lease) = self.current.lease(self.current.server, None) {
            return Step::Leased(lease);
        }
        if now < self.due {
            return Step::Wait;
        }
        if let Some((server, from)) = self.current.fallback
            && let Some(lease) = self.current.lease(Some(server), Some(self.doubt(from)))
        {
            return Step::Leased(lease);
        }
        if self.sent == self.profile.tries {
            return Step::GaveUp;
        }
        self.sent += 1;
        self.current = Try::default();
        self.last_discover = Some(now);
        self.due = now + self.profile.interval;
        Step::Discover(self.sent)
    }

    fn doubt(&self, from: Ipv4Addr) -> String {
        let offers = super::event::summary(&self.offers);
        let wanted = self.profile.boot_text;
        format!(
            "no OFFER carried option 43 with \"{wanted}\" ({offers}), so the server named by {from} was asked"
        )
    }

    /// Takes an OFFER; `source` is the sender's IP address.
    pub(crate) fn offer(&mut self, now: Duration, source: Ipv4Addr, offer: Offer) -> OfferSeen {
        let seen = self.judge(now, source, offer);
        self.offers.push(seen.clone());
        seen
    }

    fn judge(&mut self, now: Duration, source: Ipv4Addr, offer: Offer) -> OfferSeen {
        let from = offer.server_id.unwrap_or(source);
        let seen = |address_taken, accepted, why: String| OfferSeen {
            stage: self.stage,
            from,
            yiaddr: offer.yiaddr,
            siaddr: offer.siaddr,
            tftp_name: offer.tftp_name.clone(),
            option43: offer.option43.clone(),
            address_taken,
            accepted,
            why,
        };
        if offer.hops != 0 && !self.profile.accepts_relayed {
            return seen(false, false, "came through a relay, which this firmware drops".into());
        }
        match self.last_discover {
            None => return seen(false, false, "came before the first DISCOVER".into()),
            Some(asked) if now < asked + self.profile.deaf_for => {
                let why = format!(
                    "came within {:?} of the DISCOVER, which this board loses",
                    self.profile.deaf_for
                );
                return seen(false, false, why);
            }
            Some(_) => {}
        }
        let address_taken = offer.yiaddr.is_some() && self.current.address.is_none();
        let named = offer.siaddr.or_else(|| offer.tftp_name.as_ref()?.parse().ok());
        let text = self.profile.boot_text;
        let judged = match &offer.option43 {
            Some(bytes) if option43::contains(bytes, text) => {
                let server = named.unwrap_or(from);
                let verdict = format!("option 43 says \"{text}\"; TFTP server {server}");
                let seen = seen(address_taken, true, verdict);
                // The first one with the text wins.
                self.current.server.get_or_insert(server);
                seen
            }
            other => {
                let lacks = match other {
                    None => "no option 43".to_owned(),
                    Some(bytes) => {
                        format!("option 43 says \"{}\", not \"{text}\"", option43::display(bytes))
                    }
                };
                match named {
                    Some(server) => {
                        let seen = seen(
                            address_taken,
                            false,
                            format!(
                                "{lacks}; its server {server} is used only if no better OFFER comes in this try"
                            ),
                        );
                        self.current.fallback.get_or_insert((server, from));
                        seen
                    }
                    None => seen(address_taken, false, lacks),
                }
            }
        };
        if let (true, Some(address)) = (address_taken, offer.yiaddr) {
            self.current.address = Some((address, offer.netmask, offer.router));
        }
        judged
    }
}

impl Try {
    fn lease(&self, server: Option<Ipv4Addr>, doubt: Option<String>) -> Option<Lease> {
        let (address, netmask, router) = self.address?;
        Some(Lease { address, netmask, router, server: server?, doubt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{BoardModel, BoardProfile};

    const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 1);
    const MASTER: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 100);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 50);

    fn started(model: BoardModel) -> Round {
        let mut round = Round::new(
            Duration::ZERO,
            Stage::Rom,
            &BoardProfile::of(model).without_initial_wait().rom_dhcp,
        );
        assert!(matches!(round.poll(Duration::ZERO), Step::Discover(1)));
        round
    }

    fn address() -> Offer {
        Offer { yiaddr: Some(ADDRESS), server_id: Some(ROUTER), ..Offer::default() }
    }

    fn proxy(text: &str) -> Offer {
        Offer { server_id: Some(MASTER), option43: Some(text.into()), ..Offer::default() }
    }

    fn server(round: &mut Round, at: u64) -> Option<Ipv4Addr> {
        match round.poll(Duration::from_secs(at)) {
            Step::Leased(lease) => Some(lease.server),
            _ => None,
        }
    }

    #[test]
    fn address_and_server_may_come_from_two_offers_in_either_order() {
        for swapped in [false, true] {
            let mut offers = [(ROUTER, address()), (MASTER, proxy("Raspberry Pi Boot"))];
            if swapped {
                offers.reverse();
            }
            let mut round = started(BoardModel::Pi3BPlus);
            for (from, offer) in offers {
                assert_eq!(server(&mut round, 1), None);
                round.offer(Duration::from_secs(1), from, offer);
            }
            assert_eq!(server(&mut round, 1), Some(MASTER));
        }
    }

    #[test]
    fn the_server_is_siaddr_then_option_66_then_option_54() {
        let named = Ipv4Addr::new(10, 0, 0, 66);
        for (siaddr, tftp_name, expected) in [
            (Some(named), Some("10.0.0.9"), named),
            (None, Some("10.0.0.66"), named),
            (None, Some("a-name"), MASTER),
            (None, None, MASTER),
        ] {
            let mut round = started(BoardModel::Pi3BPlus);
            let offer = Offer {
                yiaddr: Some(ADDRESS),
                siaddr,
                tftp_name: tftp_name.map(str::to_owned),
                ..proxy("Raspberry Pi Boot")
            };
            round.offer(Duration::ZERO, MASTER, offer);
            assert_eq!(server(&mut round, 0), Some(expected));
        }
    }

    #[test]
    fn a_routers_siaddr_counts_only_when_the_try_is_over() {
        let mut round = started(BoardModel::Pi3BPlus);
        round.offer(Duration::ZERO, ROUTER, Offer { siaddr: Some(ROUTER), ..address() });
        assert_eq!(server(&mut round, 1), None);
        assert_eq!(server(&mut round, 5), Some(ROUTER));

        let mut round = started(BoardModel::Pi3BPlus);
        round.offer(Duration::ZERO, ROUTER, Offer { siaddr: Some(ROUTER), ..address() });
        round.offer(Duration::from_secs(2), MASTER, proxy("Raspberry Pi Boot"));
        assert_eq!(server(&mut round, 2), Some(MASTER));
    }

    #[test]
    fn offers_of_an_earlier_try_do_not_count() {
        let mut round = started(BoardModel::Pi3BPlus);
        round.offer(Duration::ZERO, ROUTER, address());
        assert!(matches!(round.poll(Duration::from_secs(5)), Step::Discover(2)));
        round.offer(Duration::from_secs(6), MASTER, proxy("Raspberry Pi Boot"));
        assert_eq!(server(&mut round, 6), None);
        round.offer(Duration::from_secs(7), ROUTER, address());
        assert_eq!(server(&mut round, 7), Some(MASTER));
    }

    #[test]
    fn the_older_rom_wants_three_spaces_and_no_relay() {
        let mut round = started(BoardModel::Pi3B);
        round.offer(Duration::ZERO, ROUTER, address());
        let seen = round.offer(Duration::ZERO, MASTER, proxy("Raspberry Pi Boot"));
        assert!(!seen.accepted);
        assert_eq!(seen.why, "option 43 says \"Raspberry Pi Boot\", not \"Raspberry Pi Boot   \"");
        let relayed = Offer { hops: 1, ..proxy("Raspberry Pi Boot   ") };
        assert!(!round.offer(Duration::ZERO, MASTER, relayed.clone()).accepted);
        assert_eq!(server(&mut round, 0), None);
        round.offer(Duration::ZERO, MASTER, Offer { hops: 0, ..relayed.clone() });
        assert_eq!(server(&mut round, 0), Some(MASTER));

        let mut newer = started(BoardModel::Pi3BPlus);
        assert!(newer.offer(Duration::ZERO, MASTER, relayed).accepted);
    }

    #[test]
    fn replies_may_come_too_soon_for_a_3b_with_that_fault() {
        let mut profile = BoardProfile::of(BoardModel::Pi3B).without_initial_wait().rom_dhcp;
        profile.deaf_for = Duration::from_secs(2);
        let mut round = Round::new(Duration::ZERO, Stage::Rom, &profile);
        round.poll(Duration::ZERO);
        let offer = Offer { yiaddr: Some(ADDRESS), ..proxy("Raspberry Pi Boot   ") };
        assert!(!round.offer(Duration::from_secs(1), MASTER, offer.clone()).accepted);
        assert!(round.offer(Duration::from_secs(2), MASTER, offer).accepted);
    }
}
