//! IPv4 addresses and the cluster's subnet.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::Invalid;

const ADDRESS: &str = "an IPv4 address";
const SUBNET: &str = "a subnet";
const USABLE_SUBNET: &str = "a subnet for a cluster";

pub(crate) fn address(text: &str) -> Result<Ipv4Addr, Invalid> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some((bare, _)) = text.split_once('/')
        && bare.parse::<Ipv4Addr>().is_ok()
    {
        return Err(Invalid::new(
            text,
            ADDRESS,
            "the prefix length belongs to `subnet` in [network]",
        )
        .hint(format!("write {bare}")));
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(Invalid::new(
            text,
            ADDRESS,
            "it is one of IPv6, by which these boards do not boot",
        ));
    }
    Err(Invalid::new(text, ADDRESS, "four numbers from 0 to 255 with dots between them make one"))
}

/// An address that a name server can have.
pub(crate) fn name_server(text: &str) -> Result<Ipv4Addr, Invalid> {
    let address = address(text)?;
    let kind = if address.is_loopback() {
        "is each node itself"
    } else if address.is_unspecified() || address.is_broadcast() || address.is_multicast() {
        "belongs to no single host"
    } else {
        return Ok(address);
    };
    Err(Invalid::new(text, "the address of a name server", format!("it {kind}")))
}

pub(crate) fn subnet(text: &str) -> Result<Ipv4Net, Invalid> {
    let Some((base, _)) = text.split_once('/') else {
        return Err(Invalid::new(text, SUBNET, "its prefix length is missing")
            .hint("write it like 192.168.10.0/24"));
    };
    let subnet: Ipv4Net = match text.parse() {
        Ok(subnet) => subnet,
        Err(_) if base.parse::<Ipv4Addr>().is_err() => {
            return Err(Invalid::new(text, SUBNET, "what stands before `/` is no IPv4 address")
                .hint("write it like 192.168.10.0/24"));
        }
        Err(_) => {
            return Err(Invalid::new(
                text,
                SUBNET,
                "what follows `/` is no prefix length from 8 to 29",
            )
            .hint(format!("write it like {base}/24")));
        }
    };
    if subnet.addr() != subnet.network() {
        let why =
            format!("bits are set in it that belong to the hosts of a /{}", subnet.prefix_len());
        return Err(Invalid::new(text, SUBNET, why)
            .hint(format!("the subnet which holds {base} is {}", subnet.trunc())));
    }
    if !(8..=29).contains(&subnet.prefix_len()) {
        let why = if subnet.prefix_len() > 29 {
            "it has no room for a gateway, a master and a worker"
        } else {
            "no single network is larger than a /8"
        };
        return Err(Invalid::new(text, USABLE_SUBNET, why));
    }
    let base = subnet.network();
    if base.is_loopback() || base.is_multicast() || base.octets()[0] == 0 || base.octets()[0] >= 240
    {
        return Err(Invalid::new(
            text,
            USABLE_SUBNET,
            "its addresses are reserved and reach no other host",
        )
        .hint("private networks are 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16 (RFC 1918)"));
    }
    Ok(subnet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_with_room_and_without_host_bits() {
        for text in ["192.168.10.0/24", "10.0.0.0/8", "172.16.4.8/29"] {
            assert_eq!(subnet(text).map(|net| net.to_string()).as_deref(), Ok(text));
        }
        for text in [
            "192.168.10.0",
            "192.168.10.1/24",
            "192.168.10.0/30",
            "0.0.0.0/0",
            "127.0.0.0/8",
            "224.0.0.0/8",
            "x/24",
            "10.0.0.0/33",
            "10.0.0.0/",
        ] {
            assert!(subnet(text).is_err(), "{text}");
        }
    }

    #[test]
    fn name_servers_are_other_hosts() {
        assert!(name_server("9.9.9.9").is_ok());
        for text in [
            "127.0.0.53",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.251",
            "192.168.10.1/24",
            "::1",
            "router",
        ] {
            assert!(name_server(text).is_err(), "{text}");
        }
    }
}
