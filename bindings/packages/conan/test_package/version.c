/* Whether the library is the one of the header, and of this version: version 0.1.0 */
#include <stdio.h>
#include <string.h>

#include <zsseg.h>

int main(int argc, char **argv)
{
    printf("zsseg %s, interface %u, capabilities %u\n", zsseg_version(),
           (unsigned)zsseg_abi_version(), (unsigned)zsseg_capabilities());
    return zsseg_abi_version() == ZSSEG_ABI_VERSION && argc == 2 &&
                   strcmp(zsseg_version(), argv[1]) == 0
               ? 0
               : 1;
}
