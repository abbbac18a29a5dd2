//! The network that this machine is in, as a guess of where a cluster will be.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// An IPv4 segment, and who is known to be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its first address.
    pub network: Ipv4Addr,
    /// How many bits of an address belong to the network.
    pub prefix: u32,
    /// The router by which this machine reaches everything else.
    pub gateway: Ipv4Addr,
    /// This machine's own address, when it is known.
    pub own: Option<Ipv4Addr>,
}

impl Segment {
    /// The segment of this machine's default route. None when there is no such route, or its router is not on the same segment.
    #[must_use]
    pub fn of_this_machine() -> Option<Self> {
        let routes = std::fs::read_to_string("/proc/net/route").ok()?;
        let found = Self::parse(&routes)?;
        Some(Self { own: own_address(found.gateway), ..found })
    }

    /// From a table as `/proc/net/route` has it: addresses in hexadecimal, the bytes as they lie in memory.
    fn parse(routes: &str) -> Option<Self> {
        let routes: Vec<Route<'_>> = routes.lines().skip(1).filter_map(Route::parse).collect();
        let default = routes
            .iter()
            .filter(|route| route.mask.is_unspecified() && !route.gateway.is_unspecified())
            .min_by_key(|route| route.metric)?;
        let gateway = default.gateway;
        let on_link = routes.iter().find(|route| {
            route.interface == default.interface
                && route.gateway.is_unspecified()
                && !route.mask.is_unspecified()
                && gateway & route.mask == route.destination
        })?;
        let prefix = u32::from(on_link.mask).count_ones();
        Some(Self { network: on_link.destination, prefix, gateway, own: None })
    }
}

/// A line of the table.
struct Route<'t> {
    interface: &'t str,
    destination: Ipv4Addr,
    gateway: Ipv4Addr,
    metric: u32,
    mask: Ipv4Addr,
}

impl<'t> Route<'t> {
    fn parse(line: &'t str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [interface, destination, gateway, _, _, _, metric, mask, ..] = words.as_slice() else {
            return None;
        };
        let address =
            |hex: &str| Some(Ipv4Addr::from(u32::from_str_radix(hex, 16).ok()?.to_ne_bytes()));
        Some(Self {
            interface,
            destination: address(destination)?,
            gateway: address(gateway)?,
            metric: metric.parse().ok()?,
            mask: address(mask)?,
        })
    }
}

/// The address from which this machine would write to the router. Nothing is sent.
fn own_address(gateway: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((gateway, 9)).ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(own) => Some(*own.ip()),
        SocketAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";

    #[cfg(target_endian = "little")]
    #[test]
    fn the_segment_of_the_best_default_route_is_found() {
        let wifi = "wlan0\t00000000\t0100000A\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
                    wlan0\t0000000A\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0\n";
        let wired = "eth0\t00000000\t010AA8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                     docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                     eth0\t000AA8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
        let segment = |network: [u8; 4], gateway: [u8; 4]| {
            Some(Segment {
                network: network.into(),
                prefix: 24,
                gateway: gateway.into(),
                own: None,
            })
        };
        assert_eq!(Segment::parse(&format!("{HEAD}{wifi}")), segment([10, 0, 0, 0], [10, 0, 0, 1]));
        assert_eq!(
            Segment::parse(&format!("{HEAD}{wifi}{wired}")),
            segment([192, 168, 10, 0], [192, 168, 10, 1])
        );
    }

    #[test]
    fn without_a_router_on_a_segment_there_is_no_guess() {
        let tunnel = "wg0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n";
        let far = "ppp0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        for text in ["", HEAD, &format!("{HEAD}{tunnel}"), &format!("{HEAD}{far}"), "x\ny z\n"] {
            assert_eq!(Segment::parse(text), None, "{text}");
        }
    }
}
