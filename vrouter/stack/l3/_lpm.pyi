from vrouter.stack.l3.lpm import Lpm as Lpm
