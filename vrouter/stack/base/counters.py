"""Counters: one array per namespace for what happened, one per device and namespace for what was dropped.

Names of statistics are those of Linux's SNMP tables. What only counts drops is not here: its counter is the
`DropReason`. The ``Acct*`` members are the stack's accounts: of all packets of a stack, at any moment,

    received + originated + copies + fragments
        = consumed + delivered + transmitted + queued + absorbed by reassembly + dropped

where received and transmitted are the devices' packet counters and a crossing's, a crossing being one transmit and one
receive. Tests compare the two sides exactly; a path that loses a packet silently breaks the equation.
"""

from __future__ import annotations

from array import array
from enum import IntEnum
from typing import Final

from vrouter.stack.base.drop import N_REASONS


class Stat(IntEnum):
    """Index of a namespace's counter; the name in lower-case words is Linux's SNMP name."""

    AcctOriginated = 0
    AcctCopies = 1
    AcctFragments = 2
    AcctConsumed = 3
    AcctDelivered = 4
    AcctAbsorbed = 5
    AcctCrossedIn = 6
    AcctCrossedOut = 7
    IpInReceives = 8
    IpForwDatagrams = 9
    IpInDelivers = 10
    IpOutRequests = 11
    IpReasmReqds = 12
    IpReasmOKs = 13
    IpReasmFails = 14
    IpFragOKs = 15
    IpFragFails = 16
    IpFragCreates = 17
    IcmpInMsgs = 18
    IcmpOutMsgs = 19
    IcmpInErrors = 20
    IcmpInEchos = 21
    IcmpInEchoReps = 22
    IcmpInDestUnreachs = 23
    IcmpInTimeExcds = 24
    IcmpInParmProbs = 25
    IcmpInRedirects = 26
    IcmpInTimestamps = 27
    IcmpOutEchos = 28
    IcmpOutEchoReps = 29
    IcmpOutDestUnreachs = 30
    IcmpOutTimeExcds = 31
    IcmpOutParmProbs = 32
    IcmpOutRedirects = 33
    IcmpOutTimestampReps = 34
    UdpInDatagrams = 35
    UdpOutDatagrams = 36
    UdpNoPorts = 37
    ArpInRequests = 38
    ArpInReplies = 39
    ArpOutRequests = 40
    ArpOutReplies = 41
    ArpConflicts = 42
    IpInMcastPkts = 43
    IpOutMcastPkts = 44
    IpInBcastPkts = 45
    IpOutBcastPkts = 46
    NdpConflicts = 47
    NdpLooped = 48
    Ip6InReceives = 49
    Ip6OutForwDatagrams = 50
    Ip6InDelivers = 51
    Ip6OutRequests = 52
    Ip6ReasmReqds = 53
    Ip6ReasmOKs = 54
    Ip6ReasmFails = 55
    Ip6FragOKs = 56
    Ip6FragFails = 57
    Ip6FragCreates = 58
    Ip6InMcastPkts = 59
    Ip6OutMcastPkts = 60
    Icmp6InMsgs = 61
    Icmp6OutMsgs = 62
    Icmp6InErrors = 63
    Icmp6InDestUnreachs = 64
    Icmp6InPktTooBigs = 65
    Icmp6InTimeExcds = 66
    Icmp6InParmProblems = 67
    Icmp6InEchos = 68
    Icmp6InEchoReplies = 69
    Icmp6InGroupMembQueries = 70
    Icmp6InGroupMembResponses = 71
    Icmp6InGroupMembReductions = 72
    Icmp6InRouterSolicits = 73
    Icmp6InRouterAdvertisements = 74
    Icmp6InNeighborSolicits = 75
    Icmp6InNeighborAdvertisements = 76
    Icmp6InRedirects = 77
    Icmp6InMLDv2Reports = 78
    Icmp6OutDestUnreachs = 79
    Icmp6OutPktTooBigs = 80
    Icmp6OutTimeExcds = 81
    Icmp6OutParmProblems = 82
    Icmp6OutEchos = 83
    Icmp6OutEchoReplies = 84
    Icmp6OutGroupMembQueries = 85
    Icmp6OutGroupMembResponses = 86
    Icmp6OutGroupMembReductions = 87
    Icmp6OutRouterSolicits = 88
    Icmp6OutRouterAdvertisements = 89
    Icmp6OutNeighborSolicits = 90
    Icmp6OutNeighborAdvertisements = 91
    Icmp6OutRedirects = 92
    Icmp6OutMLDv2Reports = 93
    Udp6InDatagrams = 94
    Udp6OutDatagrams = 95
    Udp6NoPorts = 96
    TcpActiveOpens = 97
    TcpPassiveOpens = 98
    TcpAttemptFails = 99
    TcpEstabResets = 100
    TcpInSegs = 101
    TcpOutSegs = 102
    TcpRetransSegs = 103
    TcpInErrs = 104
    TcpOutRsts = 105
    TcpSyncookiesSent = 106
    TcpSyncookiesRecv = 107
    TcpSyncookiesFailed = 108
    TcpEmbryonicRsts = 109
    TcpPruneCalled = 110
    TcpRcvPruned = 111
    TcpOfoPruned = 112
    TcpTW = 113
    TcpTWRecycled = 114
    TcpPAWSActive = 115
    TcpPAWSEstab = 116
    TcpDelayedACKs = 117
    TcpDelayedACKLost = 118
    TcpListenOverflows = 119
    TcpListenDrops = 120
    TcpPureAcks = 121
    TcpHPAcks = 122
    TcpRenoRecovery = 123
    TcpSackRecovery = 124
    TcpSACKReneging = 125
    TcpSACKReorder = 126
    TcpTSReorder = 127
    TcpFullUndo = 128
    TcpPartialUndo = 129
    TcpDSACKUndo = 130
    TcpLossUndo = 131
    TcpLostRetransmit = 132
    TcpRenoFailures = 133
    TcpSackFailures = 134
    TcpLossFailures = 135
    TcpFastRetrans = 136
    TcpSlowStartRetrans = 137
    TcpTimeouts = 138
    TcpLossProbes = 139
    TcpLossProbeRecovery = 140
    TcpDSACKOldSent = 141
    TcpDSACKOfoSent = 142
    TcpDSACKRecv = 143
    TcpDSACKOfoRecv = 144
    TcpAbortOnData = 145
    TcpAbortOnClose = 146
    TcpAbortOnMemory = 147
    TcpAbortOnTimeout = 148
    TcpAbortOnLinger = 149
    TcpSpuriousRTOs = 150
    TcpOFOQueue = 151
    TcpOFODrop = 152
    TcpOFOMerge = 153
    TcpChallengeACK = 154
    TcpSYNChallenge = 155
    TcpFastOpenActive = 156
    TcpFastOpenActiveFail = 157
    TcpFastOpenPassive = 158
    TcpFastOpenPassiveFail = 159
    TcpFastOpenListenOverflow = 160
    TcpFastOpenCookieReqd = 161
    TcpSpuriousRtxHostQueues = 162
    TcpFromZeroWindowAdv = 163
    TcpToZeroWindowAdv = 164
    TcpWantZeroWindowAdv = 165
    TcpSynRetrans = 166
    TcpOrigDataSent = 167
    TcpHystartTrainDetect = 168
    TcpHystartDelayDetect = 169
    TcpACKSkippedSynRecv = 170
    TcpACKSkippedPAWS = 171
    TcpACKSkippedSeq = 172
    TcpACKSkippedFinWait2 = 173
    TcpACKSkippedTimeWait = 174
    TcpACKSkippedChallenge = 175
    TcpWinProbe = 176
    TcpKeepAlive = 177
    TcpMTUPFail = 178
    TcpMTUPSuccess = 179
    TcpDeliveredCE = 180
    TcpAckCompressed = 181
    TcpZeroWindowDrop = 182
    TcpRcvQDrop = 183
    TcpTimeoutRehash = 184
    TcpOrphans = 185
    TcpReqQFullDoCookies = 186
    TcpReqQFullDrop = 187
    TcpDeferAcceptDrop = 188
    TcpTSEcrRejected = 189
    TcpFastOpenBlackhole = 190
    TcpTimeWaitOverflow = 191
    TcpAbortFailed = 192
    TcpOutOfWindowIcmps = 193


N_STATS: Final = len(Stat)
_NO_STATS: Final = bytes(8 * N_STATS)
_NO_DROPS: Final = bytes(8 * N_REASONS)


def new_stats() -> array[int]:
    """A zeroed array indexed by `Stat`."""
    return array("Q", _NO_STATS)


def new_drops() -> array[int]:
    """A zeroed array indexed by `DropReason`."""
    return array("Q", _NO_DROPS)
