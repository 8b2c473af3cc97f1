# SPDX-License-Identifier: MIT
# Controllers of other layers, and OpenEmbedded-Core's, stay reachable.
from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
