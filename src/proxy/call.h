// SPDX-License-Identifier: Apache-2.0
/* What a container runtime runs beside the proxy, in its container: hooks of the pod's lifecycle, as short programs.
 *
 *   weft-proxy request [--debug-port=15020] METHOD PATH    one HTTP request to the proxy's own port (preStop: POST drain)
 *   weft-proxy wait [--timeoutSeconds=60]                    until the proxy is ready (postStart: the application waits)
 */
#pragma once

#include <stdbool.h>

bool call_is_verb(const char *verb);
int call_main(int argc, char **argv); /* exit code: 0 done, 1 failed (a line on stderr), 2 usage */
