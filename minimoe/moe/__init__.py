"""Mixture of experts: importance, allocation, routing, the expert layer."""
from minimoe.moe.allocation import allocate_experts
from minimoe.moe.base import Router
from minimoe.moe.health import health
from minimoe.moe.importance import token_importance
from minimoe.moe.layer import MoELayer
from minimoe.moe.make import make_router
from minimoe.moe.plan import RoutingPlan, build_plan
from minimoe.moe.routers import DynamicRouter, ExpertChoiceRouter, SwitchRouter, TopKRouter, TopPRouter
from minimoe.moe.routing import Routing, route

__all__ = ["DynamicRouter", "ExpertChoiceRouter", "MoELayer", "Router", "Routing", "RoutingPlan", "SwitchRouter",
           "TopKRouter", "TopPRouter", "allocate_experts", "build_plan", "health", "make_router", "route",
           "token_importance"]
