/* The addresses that an engine is reached at: one port, any number of addresses, a UDP and a TCP socket for each. */
#ifndef MT_IO_LISTEN_H
#define MT_IO_LISTEN_H

#include "io/udp.h"

#include <netinet/in.h>

enum { MT_MAX_ADDRESSES = 16 };

typedef struct {
  unsigned count;
  char ips[MT_MAX_ADDRESSES][INET6_ADDRSTRLEN]; /* numeric; an IPv6 wildcard that is alone takes IPv4 too */
  uint16_t port;                                /* 0: any that is free at all addresses, for UDP and TCP; then the one found */
  unsigned refused;                             /* which address, when opening has failed; */
  bool refused_tcp;                             /* and which of the two */
} mt_addresses;

typedef struct {
  unsigned count;
  mt_socket udp[MT_MAX_ADDRESSES];
  mt_socket tcp[MT_MAX_ADDRESSES]; /* they listen */
} mt_listen;

/* False with errno set, and nothing is open. */
bool mt_listen_open(mt_listen *l, mt_addresses *addresses);
void mt_listen_close(mt_listen *l);

#endif
