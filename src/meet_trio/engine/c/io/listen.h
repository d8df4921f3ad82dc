/* The sockets that an engine listens on: one port, up to MT_MAX_ADDRESSES addresses, and a UDP and a TCP socket for each address.
 *
 * If no port is given, one that is free at all addresses is found: the kernel gives the first socket a port, and the others try the
 * same one. If it is taken at an address, all sockets begin anew with another port.
 *
 * The sockets of an earlier process can be adopted instead, with what waits in them: datagrams, and connections. Such a socket must
 * be bound as a new one would be. Reading and writing are in io/udp.c and io/tcp.c.
 */
#ifndef MT_IO_LISTEN_H
#define MT_IO_LISTEN_H

#include "io/udp.h"

#include <netinet/in.h>

enum { MT_MAX_ADDRESSES = 16 };

typedef struct {
  unsigned count;
  char ips[MT_MAX_ADDRESSES][INET6_ADDRSTRLEN]; /* numeric; an IPv6 wildcard that is the only address accepts IPv4 too */
  uint16_t port;                                /* 0: any port that is free at all addresses for UDP and TCP; opening sets it */
  bool free_bind;                               /* the machine need not have the addresses yet (IP_FREEBIND) */
  unsigned refused;                             /* if opening has failed: the index of the address */
  bool refused_tcp;                             /* if opening has failed: its TCP socket has failed, not its UDP socket */
  bool adopted;                                 /* `sockets` are taken over, and none is opened */
  int sockets[MT_MAX_ADDRESSES][2];             /* file descriptors: a UDP socket, and a TCP socket that listens */
} mt_addresses;

typedef struct {
  unsigned count;
  mt_socket udp[MT_MAX_ADDRESSES];
  mt_socket tcp[MT_MAX_ADDRESSES]; /* listening */
} mt_listen;

/* False: failure, with errno set and all opened sockets closed. Sockets that were to be adopted stay the caller's then; EADDRNOTAVAIL:
 * one of them is not bound as the address says, or is of another kind. */
bool mt_listen_open(mt_listen *l, mt_addresses *addresses);
void mt_listen_close(mt_listen *l);

#endif
