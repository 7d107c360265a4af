/* `cases sound`, or `cases` and the name of a fault. */
#include "sound.cu"
#include "faults.cu"

int main(int count, char **arguments)
{
    if (count != 2)
        return 2;
    if (strcmp(arguments[1], "sound"))
        fault(arguments[1]);
    else
        sound();
    return 0;
}
