"""Which groups rule whose repositories: all owners of an identifier at once (B 3.7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import attrs

from ..roles import Roles
from .groups import Component, Group, components
from .paths import Paths


@attrs.frozen(eq=False)
class Ruling:
    """A group and the owners whose paths end in it.

    Attributes:
      pointing: all of them.
      owners: those whose set it is: one who is outside of it has to be served.
    """

    component: Component
    group: Group
    pointing: frozenset[str]
    owners: frozenset[str]


@attrs.frozen
class Rulings:
    """The groups of one identifier, worked out where they are asked for, each once.

    Attributes:
      served: the owners whose announcement is served.
    """

    roles: Mapping[str, Roles]
    served: Collection[str]
    paths: Paths
    _components: dict[str, Component] = attrs.field(factory=dict)
    _roots: dict[Component, dict[str, list[str]]] = attrs.field(factory=dict)
    _found: dict[Component, tuple[Ruling, ...]] = attrs.field(factory=dict)
    _held_by: dict[str, tuple[Ruling, ...]] = attrs.field(factory=dict)

    def members(self, root: str) -> frozenset[str]:
        """The group of a key that can be a member."""
        component = self._by_key()[root]
        return component.members(component.group(root))

    def all(self) -> Iterator[Ruling]:
        """Every group that rules a repository, those of one component together."""
        for component in self._by_component():
            yield from self.of(component)

    def holding(self, *keys: str) -> tuple[Ruling, ...]:
        """The groups that rule a repository and hold one of the keys.

        Those of one key are looked for once: an author publishes again and again.
        """
        if len(keys) != 1:
            return self._look_for(keys)
        if keys[0] not in self._by_key():
            return ()
        if keys[0] not in self._held_by:
            self._held_by[keys[0]] = self._look_for(keys)
        return self._held_by[keys[0]]

    def _look_for(self, keys: Iterable[str]) -> tuple[Ruling, ...]:
        return tuple(
            ruling
            for component, of_it in self.apart(keys).items()
            if (bits := component.mask(of_it))
            for ruling in self.of(component)
            if ruling.group.members & bits
        )

    def apart(self, keys: Iterable[str]) -> dict[Component, list[str]]:
        """Those of the keys that can be members, in their order, by component."""
        found: dict[Component, list[str]] = {}
        for key in keys:
            if (component := self._by_key().get(key)) is not None:
                found.setdefault(component, []).append(key)
        return found

    def of(self, component: Component) -> tuple[Ruling, ...]:
        """The groups of a component that rule a repository."""
        if component not in self._found:
            pointing: dict[Group, list[str]] = {}
            for root, owners in self._by_component().get(component, {}).items():
                pointing.setdefault(component.group(root), []).extend(owners)
            self._found[component] = tuple(
                self._ruling(component, group, owners) for group, owners in pointing.items()
            )
        return self._found[component]

    def _ruling(self, component: Component, group: Group, pointing: Iterable[str]) -> Ruling:
        pointing = frozenset(pointing)
        inside = component.mask(pointing) & group.members
        owners = (o for o in pointing if o in self.served or inside & component.mask((o,)))
        return Ruling(component, group, pointing, frozenset(owners))

    def _by_key(self) -> Mapping[str, Component]:
        """By key that can be a member, whom it is connected with."""
        if not self._components:
            able = {key for key, roles in self.roles.items() if roles.may}
            names = {key: tuple(n for n in self.roles[key].named if n in able) for key in able}
            self._components.update(components(names))
        return self._components

    def _by_component(self) -> Mapping[Component, Mapping[str, list[str]]]:
        """By component and root, the owners whose paths end there."""
        if not self._roots:
            for owner in self.roles:
                if (root := self.paths.of(owner).root) is not None:
                    of_component = self._roots.setdefault(self._by_key()[root], {})
                    of_component.setdefault(root, []).append(owner)
        return self._roots
