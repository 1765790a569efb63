//! One conversation, and the record that each interface on its way writes of it.

use super::hosts::{End, Hosts};
use super::record::Flow;
use crate::record::Action;

/// A client that talks to a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Talk {
    pub(super) client: End,
    pub(super) server: End,
    pub(super) protocol: u8,
    /// 0 for ICMP.
    pub(super) client_port: u16,
    /// The server's port; 0 for ICMP.
    pub(super) port: u16,
    /// The NAT gateway on the way, with the port that it uses towards the server.
    pub(super) nat: Option<(End, u16)>,
}

/// Where on its way a packet is seen: by which interface, and whether it goes out or comes in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leg {
    ClientOut,
    NatFromClient,
    NatToServer,
    ServerIn,
    ServerOut,
    NatFromServer,
    NatToClient,
    ClientIn,
}

impl Leg {
    /// The legs of a request.
    pub(super) const REQUEST: [Self; 4] = [Self::ClientOut, Self::NatFromClient, Self::NatToServer, Self::ServerIn];
    /// The legs of a reply.
    pub(super) const REPLY: [Self; 4] = [Self::ServerOut, Self::NatFromServer, Self::NatToClient, Self::ClientIn];
}

/// What one record counts, of one direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) tcp_flags: u8,
    pub(super) action: Action,
}

impl Load {
    /// Accepted packets.
    pub(super) fn accepted(packets: u64, bytes: u64, tcp_flags: u8) -> Self {
        Self { packets, bytes, tcp_flags, action: Action::Accept }
    }

    /// Refused packets.
    pub(super) fn rejected(packets: u64, bytes: u64, tcp_flags: u8) -> Self {
        Self { packets, bytes, tcp_flags, action: Action::Reject }
    }
}

impl Talk {
    /// The record that is written on a leg, with the interface that writes it; `None` where nobody does.
    pub(super) fn flow(&self, hosts: &Hosts, leg: Leg, load: Load) -> Option<(u32, Flow)> {
        let (client, server) = (&self.client, &self.server);
        let (from, to, recorder) = match leg {
            Leg::ClientOut => (client, server, client),
            Leg::ServerIn => (client, server, server),
            Leg::ServerOut => (server, client, server),
            Leg::ClientIn => (server, client, client),
            _ => return self.nat_flow(leg, load),
        };
        let egress = matches!(leg, Leg::ClientOut | Leg::ServerOut);
        let (srcport, dstport) = match leg {
            Leg::ClientOut | Leg::ServerIn => (self.client_port, self.port),
            _ => (self.port, self.client_port),
        };
        let shown = hosts.shown(recorder);
        let flow = Flow {
            srcaddr: if egress { shown } else { from.address },
            dstaddr: if egress { to.address } else { shown },
            pkt_srcaddr: from.address,
            pkt_dstaddr: to.address,
            srcport,
            dstport,
            protocol: self.protocol,
            packets: load.packets,
            bytes: load.bytes,
            action: load.action,
            tcp_flags: load.tcp_flags,
            egress,
            traffic_path: egress.then(|| self.route(from, to)),
            src_service: from.aws_service,
            dst_service: to.aws_service,
        };
        Some((recorder.interface?, flow))
    }

    /// What the NAT gateway's interface writes: the gateway's address stands beside the packet's own.
    fn nat_flow(&self, leg: Leg, load: Load) -> Option<(u32, Flow)> {
        let (nat, nat_port) = self.nat?;
        let (client, server, gateway) = (self.client.address, self.server.address, nat.address);
        let (srcaddr, dstaddr, pkt_srcaddr, pkt_dstaddr, srcport, dstport) = match leg {
            Leg::NatFromClient => (client, gateway, client, server, self.client_port, self.port),
            Leg::NatToServer => (gateway, server, gateway, server, nat_port, self.port),
            Leg::NatFromServer => (server, gateway, server, gateway, self.port, nat_port),
            _ => (gateway, client, server, client, self.port, self.client_port),
        };
        let egress = matches!(leg, Leg::NatToServer | Leg::NatToClient);
        let flow = Flow {
            srcaddr,
            dstaddr,
            pkt_srcaddr,
            pkt_dstaddr,
            srcport,
            dstport,
            protocol: self.protocol,
            packets: load.packets,
            bytes: load.bytes,
            action: load.action,
            tcp_flags: load.tcp_flags,
            egress,
            traffic_path: match leg {
                Leg::NatToServer => Some(8),
                Leg::NatToClient => Some(1),
                _ => None,
            },
            src_service: if pkt_srcaddr == server { self.server.aws_service } else { None },
            dst_service: if pkt_dstaddr == server { self.server.aws_service } else { None },
        };
        Some((nat.interface?, flow))
    }

    /// The field `traffic-path` of what leaves `from` for `to`: 1 inside the VPC, 4 over a peering.
    fn route(&self, from: &End, to: &End) -> u8 {
        match to.vpc {
            Some(_) if to.vpc == from.vpc => 1,
            Some(_) => 4,
            // the gateway is in the same VPC
            None if self.nat.is_some() => 1,
            None => to.route,
        }
    }
}
