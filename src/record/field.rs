//! THE table of flow log fields: AWS name, version, type, column.
//!
//! The Parquet schema, the parser, the SQL DDL in `schemas/` and the field list in the documentation all
//! derive from [`Field::ALL`]. To add a field that AWS invents, add one line here and nothing else.
//!
//! Sources: the VPC Flow Logs and Transit Gateway Flow Logs record tables of the AWS documentation
//! (versions 2 to 11; a record's version is the highest among its fields), and Athena's Parquet DDL for the
//! column names. A Transit Gateway field has no column of its own: its values go to the column `extra`.

/// How the value of a field is written in the log, and which values it can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Decimal number in a 32-bit column; larger than `max` is an error.
    Int32 {
        /// Largest value that the protocol allows.
        max: i64,
    },
    /// Decimal number in a 64-bit column (packets, bytes).
    Int64,
    /// Unix time, in seconds, or in milliseconds where the value is above 2147483647.
    Time,
    /// IPv4 or IPv6 address; kept as written, and parsed.
    Address,
    /// `ACCEPT` or `REJECT`.
    Action,
    /// `OK`, `NODATA` or `SKIPDATA`.
    Status,
    /// Anything else, kept as written: open sets never fail.
    Text,
}

impl FieldType {
    /// True for the types that a [`FlowRecord`](super::FlowRecord) keeps as a number.
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Int32 { .. } | Self::Int64 | Self::Time)
    }

    /// The SQL type of the field's column, in DuckDB's words.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Int32 { .. } => "INTEGER",
            Self::Int64 => "BIGINT",
            Self::Time => "TIMESTAMP",
            Self::Address | Self::Action | Self::Status | Self::Text => "VARCHAR",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldDef {
    /// The name in a log format, as in `${pkt-srcaddr}`.
    pub name: &'static str,
    /// The column in Parquet, as in `pkt_srcaddr`.
    pub column: &'static str,
    /// The flow log version that brought the field.
    pub version: u8,
    /// Type and range.
    pub field_type: FieldType,
    /// What the value means, in a few words.
    pub about: &'static str,
}

macro_rules! fields {
    ($($variant:ident $name:literal $column:literal $version:literal $ty:expr, $about:literal;)*) => {
        /// A field of VPC flow logs, in the order of the AWS documentation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Field {
            $(#[doc = $about] $variant,)*
        }

        const TABLE: &[FieldDef] = &[
            $(FieldDef { name: $name, column: $column, version: $version, field_type: $ty, about: $about },)*
        ];

        impl Field {
            /// Every field, in the order of the table (which is the order of the columns).
            pub const ALL: &[Field] = &[$(Field::$variant,)*];

            /// The field of an AWS name (`pkt-srcaddr`) or a column name (`pkt_srcaddr`), if there is one.
            pub fn from_name(name: &str) -> Option<Field> {
                match name {
                    $($name => Some(Field::$variant),)*
                    _ => Self::ALL.iter().copied().find(|field| field.def().column == name),
                }
            }
        }
    };
}

use FieldType::{Action, Address, Int32, Int64, Status, Text, Time};

const PORT: FieldType = Int32 { max: 65_535 };
const OCTET: FieldType = Int32 { max: 255 };

fields! {
    Version "version" "version" 2 PORT, "highest version among the fields of the record";
    AccountId "account-id" "account_id" 2 Text, "owner of the interface: 12 digits, or `unknown`";
    InterfaceId "interface-id" "interface_id" 2 Text, "interface that recorded the flow";
    Srcaddr "srcaddr" "srcaddr" 2 Address, "source; the interface's primary private address for outgoing traffic";
    Dstaddr "dstaddr" "dstaddr" 2 Address, "destination; the interface's primary private address for incoming traffic";
    Srcport "srcport" "srcport" 2 PORT, "source port, 0 for ICMP";
    Dstport "dstport" "dstport" 2 PORT, "destination port, 0 for ICMP";
    Protocol "protocol" "protocol" 2 OCTET, "IANA protocol number";
    Packets "packets" "packets" 2 Int64, "packets in the aggregation interval";
    Bytes "bytes" "bytes" 2 Int64, "bytes in the aggregation interval";
    Start "start" "start" 2 Time, "first packet of the interval";
    End "end" "end" 2 Time, "last packet of the interval";
    Action "action" "action" 2 Action, "ACCEPT or REJECT";
    LogStatus "log-status" "log_status" 2 Status, "OK, NODATA or SKIPDATA";
    VpcId "vpc-id" "vpc_id" 3 Text, "VPC of the interface";
    SubnetId "subnet-id" "subnet_id" 3 Text, "subnet of the interface";
    InstanceId "instance-id" "instance_id" 3 Text, "instance of the interface";
    TcpFlags "tcp-flags" "tcp_flags" 3 OCTET, "OR over the interval: FIN 1, SYN 2, RST 4, SYN-ACK 18";
    Type "type" "type" 3 Text, "IPv4, IPv6 or EFA";
    PktSrcaddr "pkt-srcaddr" "pkt_srcaddr" 3 Address, "original source of the packet";
    PktDstaddr "pkt-dstaddr" "pkt_dstaddr" 3 Address, "original destination of the packet";
    Region "region" "region" 4 Text, "region of the interface";
    AzId "az-id" "az_id" 4 Text, "availability zone id of the interface";
    SublocationType "sublocation-type" "sublocation_type" 4 Text, "wavelength, outpost or localzone";
    SublocationId "sublocation-id" "sublocation_id" 4 Text, "id of the sublocation";
    PktSrcAwsService "pkt-src-aws-service" "pkt_src_aws_service" 5 Text, "AWS service that owns the source address";
    PktDstAwsService "pkt-dst-aws-service" "pkt_dst_aws_service" 5 Text, "AWS service that owns the destination address";
    FlowDirection "flow-direction" "flow_direction" 5 Text, "ingress or egress, seen from the interface";
    TrafficPath "traffic-path" "traffic_path" 5 OCTET, "path of egress traffic: 1 same VPC to 8 internet gateway";
    EcsClusterArn "ecs-cluster-arn" "ecs_cluster_arn" 7 Text, "ECS cluster";
    EcsClusterName "ecs-cluster-name" "ecs_cluster_name" 7 Text, "ECS cluster";
    EcsContainerInstanceArn "ecs-container-instance-arn" "ecs_container_instance_arn" 7 Text, "ECS container instance";
    EcsContainerInstanceId "ecs-container-instance-id" "ecs_container_instance_id" 7 Text, "ECS container instance";
    EcsContainerId "ecs-container-id" "ecs_container_id" 7 Text, "first container";
    EcsSecondContainerId "ecs-second-container-id" "ecs_second_container_id" 7 Text, "second container";
    EcsServiceName "ecs-service-name" "ecs_service_name" 7 Text, "ECS service";
    EcsTaskDefinitionArn "ecs-task-definition-arn" "ecs_task_definition_arn" 7 Text, "ECS task definition";
    EcsTaskArn "ecs-task-arn" "ecs_task_arn" 7 Text, "ECS task";
    EcsTaskId "ecs-task-id" "ecs_task_id" 7 Text, "ECS task";
    RejectReason "reject-reason" "reject_reason" 8 Text, "BPA (block public access) or EC (encryption controls)";
    ResourceId "resource-id" "resource_id" 9 Text, "regional NAT gateway";
    EncryptionStatus "encryption-status" "encryption_status" 10 OCTET, "0 none, 1 Nitro, 2 application, 3 both";
    InstanceTag "instance-tag" "instance_tag" 11 Text, "tag value, percent-encoded";
    InstanceTag2 "instance-tag-2" "instance_tag_2" 11 Text, "tag value, percent-encoded";
    InterfaceTag "interface-tag" "interface_tag" 11 Text, "tag value, percent-encoded";
    InterfaceTag2 "interface-tag-2" "interface_tag_2" 11 Text, "tag value, percent-encoded";
    AsgTag "asg-tag" "asg_tag" 11 Text, "tag value, percent-encoded";
    AsgTag2 "asg-tag-2" "asg_tag_2" 11 Text, "tag value, percent-encoded";
    InterfaceType "interface-type" "interface_type" 11 Text, "type of the interface, e.g. nat_gateway";
    NextHopInterfaceId "next-hop-interface-id" "next_hop_interface_id" 11 Text, "receiver of egress, sender of ingress";
    NextHopSubnetId "next-hop-subnet-id" "next_hop_subnet_id" 11 Text, "subnet of the next hop";
    NextHopAzId "next-hop-az-id" "next_hop_az_id" 11 Text, "availability zone id of the next hop";
    NextHopVpcId "next-hop-vpc-id" "next_hop_vpc_id" 11 Text, "VPC of the next hop";
    NextHopInterfaceType "next-hop-interface-type" "next_hop_interface_type" 11 Text, "interface type of the next hop";
}

/// The fields that only Transit Gateway flow logs have (version 6): name and meaning. Their values stay text.
pub const TRANSIT_GATEWAY: &[&str] = &[
    "resource-type",
    "tgw-id",
    "tgw-attachment-id",
    "tgw-src-vpc-account-id",
    "tgw-dst-vpc-account-id",
    "tgw-src-vpc-id",
    "tgw-dst-vpc-id",
    "tgw-src-subnet-id",
    "tgw-dst-subnet-id",
    "tgw-src-eni",
    "tgw-dst-eni",
    "tgw-src-az-id",
    "tgw-dst-az-id",
    "tgw-pair-attachment-id",
    "packets-lost-no-route",
    "packets-lost-blackhole",
    "packets-lost-mtu-exceeded",
    "packets-lost-ttl-expired",
];

/// How many fields the table has.
pub const FIELD_COUNT: usize = TABLE.len();

impl Field {
    /// The field's row in the table.
    pub const fn def(self) -> &'static FieldDef {
        &TABLE[self as usize]
    }

    /// The AWS name, as in `${pkt-srcaddr}`.
    pub const fn name(self) -> &'static str {
        self.def().name
    }
}

/// True for a name that AWS documents for VPC or Transit Gateway flow logs, in either spelling.
pub fn is_known_name(name: &str) -> bool {
    Field::from_name(name).is_some()
        || TRANSIT_GATEWAY.iter().any(|known| {
            known.len() == name.len()
                && known.bytes().zip(name.bytes()).all(|(k, n)| k == n || (k == b'-' && n == b'_'))
        })
}

/// The AWS name that a key of a JSON record stands for, if there is one. Senders write names with hyphens, with
/// underscores, or in camelCase (`pktSrcAddr`, which the `parseVPC` processor of CloudWatch Logs gives): neither
/// separators nor capitals count.
pub fn name_of_key(key: &str) -> Option<&'static str> {
    let names = Field::ALL.iter().map(|field| field.name()).chain(TRANSIT_GATEWAY.iter().copied());
    names.into_iter().find(|name| letters(name).eq(letters(key)))
}

fn letters(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(|byte| !matches!(byte, b'-' | b'_')).map(|byte| byte.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_counts_as_aws_documents_it() {
        // cumulative number of VPC fields per version, from the AWS documentation
        for (version, count) in [(2, 14), (3, 21), (4, 25), (5, 29), (7, 39), (8, 40), (9, 41), (10, 42), (11, 54)] {
            let have = Field::ALL.iter().filter(|field| field.def().version <= version).count();
            assert_eq!(have, count, "fields up to version {version}");
        }
        assert_eq!(TRANSIT_GATEWAY.len(), 18);
    }

    #[test]
    fn columns_are_the_names_in_snake_case() {
        for field in Field::ALL {
            assert_eq!(field.def().column, field.name().replace('-', "_"));
            assert_eq!(Field::from_name(field.name()), Some(*field));
            assert_eq!(Field::from_name(field.def().column), Some(*field));
        }
        assert!(is_known_name("tgw-src-eni") && is_known_name("tgw_src_eni"));
        assert!(!is_known_name("quantum-state"));
    }

    #[test]
    fn keys_of_json_are_names_in_any_spelling() {
        for (key, name) in [
            ("srcaddr", "srcaddr"),
            ("srcAddr", "srcaddr"),
            ("pkt-src-aws-service", "pkt-src-aws-service"),
            ("pkt_src_aws_service", "pkt-src-aws-service"),
            ("pktSrcAwsService", "pkt-src-aws-service"),
            ("LogStatus", "log-status"),
            ("tgwSrcVpcAccountId", "tgw-src-vpc-account-id"),
            ("asgTag2", "asg-tag-2"),
        ] {
            assert_eq!(name_of_key(key), Some(name), "{key}");
        }
        assert_eq!((name_of_key("source"), name_of_key(""), name_of_key("src addr")), (None, None, None));
        // each name stands for itself: no two are told apart by their separators alone
        for name in Field::ALL.iter().map(|field| field.name()).chain(TRANSIT_GATEWAY.iter().copied()) {
            assert_eq!(name_of_key(name), Some(name));
        }
    }
}
