/* Weights of convolutions in groups. All outputs of a layer share panels in memory; a group that is multiplied as a
 * convolution of its own has panels of its own in scratch. */
#ifndef SNNCC_SLICES_H
#define SNNCC_SLICES_H

#include "target.h"
#include "layout.h"
#include "team.h"
#include "windows.h"

/* Panels of each group's outputs, one group after the other, from those of all outputs, or with `back` to them; of the
 * inputs in `mine`. With one group the panels are the weight itself, and nothing is copied. */
SNNCC_INLINE void snncc_copy_groups(snncc_windows g, int back, snncc_range mine, snncc_real *w, snncc_real *grouped)
{
    const int outputs = snncc_group_outputs(g), inputs = snncc_window_inputs(g);
    for (int output = 0; output < g.outputs; output++) {
        const int first = output / SNNCC_PANEL * SNNCC_PANEL, width = snncc_panel_width(g.outputs, first);
        const int mate = output % outputs, first_mate = mate / SNNCC_PANEL * SNNCC_PANEL;
        const int mate_width = snncc_panel_width(outputs, first_mate);
        const size_t group = (size_t)(output / outputs) * (size_t)snncc_stride(outputs);
        snncc_real *const at = w + (size_t)first * inputs + (output - first);
        snncc_real *const to = grouped + (group + (size_t)first_mate) * inputs + (mate - first_mate);
        for (int i = mine.begin; i < mine.end; i++)
            if (back) at[(size_t)i * width] = to[(size_t)i * mate_width];
            else to[(size_t)i * mate_width] = at[(size_t)i * width];
    }
}

/* Numbers that they take. */
SNNCC_INLINE size_t snncc_groups_size(snncc_windows g)
{
    return g.groups == 1 ? 0 : (size_t)g.groups * (size_t)(snncc_stride(snncc_group_outputs(g)) * snncc_window_inputs(g));
}

/* The weight by groups, at the start of the scratch if there are several. */
SNNCC_INLINE const snncc_real *snncc_weight_by_groups(snncc_windows g, const snncc_real *w, void *scratch)
{
    const snncc_range all = {0, snncc_window_inputs(g)};
    if (g.groups == 1) return w;
    memset(scratch, 0, snncc_groups_size(g) * sizeof *w); /* pads */
    snncc_copy_groups(g, 0, all, (snncc_real *)(uintptr_t)w, (snncc_real *)scratch);
    return (const snncc_real *)scratch;
}

/* The weights of a group. */
SNNCC_INLINE size_t snncc_group_at(snncc_windows g, int group)
{
    return (size_t)group * (size_t)(snncc_stride(snncc_group_outputs(g)) * snncc_window_inputs(g));
}

#endif
